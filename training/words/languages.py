"""The commonest words in five more languages. Not run by itself.

A row: table, concept, then German, French, Spanish, Italian, Portuguese; several ways to say it are
separated by "/".
"""

LANGUAGES = ("de", "fr", "es", "it", "pt")

_ROWS = """
genres|pop|Popmusik/Popsong|musique pop/chanson pop|música pop/canción pop|musica pop/canzone pop
  |música pop brasileira/canção pop
genres|rock|Rockmusik/Rocksong|musique rock|música rock/canción de rock|musica rock/canzone rock
  |música de rock/canção de rock
genres|metal|Metalmusik|métal|metal pesado|metallo|heavy metal pesado
genres|electronic|elektronisch/elektronische Musik/Tanzmusik
  |électronique/musique électronique/musique de danse|electrónica/música electrónica/música de baile
  |elettronica/musica elettronica/musica da ballo|eletrônica/música eletrônica/música de dança
genres|hip hop|Rapmusik|musique rap|música rap|musica rap|batida de rap
genres|jazz|Jazzmusik|musique jazz|música jazz|musica jazz|música de jazz
genres|blues|Bluesmusik|musique blues|música blues|musica blues|música de blues
genres|folk|Volksmusik/Volkslied|musique folklorique|música folclórica/folclore|musica popolare
  |música folclórica brasileira
genres|country|Countrymusik|musique country|música country|musica country|música sertaneja/sertanejo
genres|waltz|Walzer|valse|vals|valzer|valsa
genres|march|Marschmusik/Marsch|marche militaire|marcha militar|marcia/marcia militare|marcha
genres|lullaby|Schlaflied/Wiegenlied|berceuse|canción de cuna/nana|ninna nanna|canção de ninar
genres|classical|klassisch/klassische Musik/Klassik|classique/musique classique
  |clásica/música clásica|classica/musica classica|clássica/música clássica
genres|orchestral|Filmmusik/orchestral und filmisch|musique de film|banda sonora/música de cine
  |colonna sonora/musica da film|trilha sonora/música de filme
genres|ballad|Ballade/Liebeslied|ballade/chanson d'amour|balada/canción de amor
  |ballata/canzone d'amore|balada romântica/canção de amor
genres|reggae|Reggaemusik|musique reggae|música reggae|musica reggae|música de reggae
genres|christmas|Weihnachtslied/Weihnachten|chanson de Noël|villancico/Navidad|canto di Natale
  |canção de Natal
genres|ambient|Klanglandschaft|paysage sonore|paisaje sonoro|paesaggio sonoro|paisagem sonora
instruments|piano|Klavier/Flügel|piano à queue/pianiste|piano de cola/pianista
  |pianoforte a coda/pianoforti|piano de cauda
instruments|acoustic guitar|Gitarre/Akustikgitarre/Gitarren|guitare/guitare acoustique/guitares
  |guitarra/guitarra acústica/guitarras|chitarra/chitarra acustica/chitarre
  |violão/guitarra acústica portuguesa
instruments|electric guitar|E-Gitarre|guitare électrique|guitarra eléctrica|chitarra elettrica
  |guitarra elétrica
instruments|violin|Geige/Geigen/Violine|violon/violons|violín/violines|violino/violini
  |violino solista/violinos
instruments|cello|Violoncello|violoncelle|violonchelo/chelo|violoncello solista|violoncelo
instruments|strings|Streicher/Orchester|cordes/orchestre|cuerdas/orquesta|archi/orchestra d'archi
  |cordas/orquestra
instruments|flute|Flöte|flûte|flauta|flauto|flauta transversal
instruments|trumpet|Trompete|trompette|trompeta|tromba|trompete
instruments|saxophone|Saxofon|saxophone ténor|saxofón|sassofono|saxofone
instruments|organ|Orgel|orgue|órgano|organo|órgão
instruments|accordion|Akkordeon|accordéon|acordeón|fisarmonica|acordeão/sanfona
instruments|synth|Synthesizer analog/Synthie|synthé/synthétiseur|sintetizador|sintetizzatore
  |sintetizador analógico
instruments|music box|Spieluhr|boîte à musique|caja de música|carillon|caixinha de música
instruments|bells|Glocken|cloches|campanas|campane|sinos
instruments|choir|Chor|chœur|coro|coro di voci|coral
instruments|bass|E-Bass/Bassgitarre|basse|bajo|basso|baixo
drums|on|Schlagzeug/mit Schlagzeug/Trommeln/Rhythmus|batterie/avec batterie/percussions/rythme
  |batería/con batería/percusión/ritmo|batteria/con batteria/percussioni/tamburi
  |bateria/com bateria/percussão/tambores
drums|off|ohne Schlagzeug/kein Schlagzeug/ohne Trommeln
  |sans batterie/pas de batterie/sans percussions|sin batería/sin percusión/sin tambores
  |senza batteria/senza percussioni/niente batteria|sem bateria/sem percussão/sem tambores
moods|happy|fröhlich/fröhliche/fröhliches/glücklich|joyeux/joyeuse/heureux/gai|alegre/feliz
  |allegro e felice/allegra/felice/gioioso|contente/animada e feliz
moods|calm|ruhig/ruhige/ruhiges/entspannt|calme/paisible/relaxant/doux
  |tranquilo/tranquila/relajante/suave|calmo/calma/rilassante/tranquilla
  |calminha/relaxante/tranquilo
moods|sad|traurig/traurige/trauriges/melancholisch|triste/mélancolique|melancólico/melancólica
  |malinconico/malinconica|tristeza/muito triste
moods|dark|dunkel/düster/unheimlich|sombre et mystérieux/mystérieux/effrayant
  |oscuro/oscura/misterioso|oscuro e cupo/cupo/spaventoso|escuro/sombrio/assustador
moods|romantic|romantisch/romantische|romantique|romántico/romántica|romantico/romantica
  |romântico/romântica
moods|energetic|energiegeladen/mitreißend/lebhaft|énergique/entraînant|enérgico/enérgica/animado
  |energico/energica/vivace e forte|energético/animado e forte
moods|heroic|heldenhaft/episch|épique/héroïque|épico/épica/heroico|epico/eroico|épico e grandioso
tempo|slow|langsam/langsame/langsames|lent/lente/lentement|lento y tranquilo/despacio/lenta
  |lentamente/adagio lento|devagar/lento e suave
tempo|fast|schnell/schnelle/schnelles|rapide/rapidement/vite|rápido/rápida|veloce/rapido
  |rápido e animado/depressa
modes|major|in Dur/Dur|en majeur/majeur|en mayor/tono mayor|in maggiore/maggiore|em maior/tom maior
modes|minor|in Moll/Moll|en mineur/mineur|en menor/tono menor|in minore/minore|em menor/tom menor
energies|soft|leise/sanft|doucement/tout doux|suavemente|dolcemente/delicatamente|baixinho/delicado
energies|loud|laut/kräftig|fort/puissant|fuerte/potente|forte e potente/potente
  |alto e forte/barulhento
uses|study|zum Lernen|pour étudier|para estudiar|per studiare|para estudar
uses|sleep|zum Einschlafen|pour dormir|para dormir|per dormire|para adormecer
uses|party|zum Tanzen|pour danser|para bailar|per ballare|para dançar
uses|background|Hintergrundmusik|musique de fond|música de fondo|musica di sottofondo
  |música de fundo
"""

NOUNS = {
    "de": ("Lied", "Musik", "Stück", "Melodie", "Song"),
    "fr": ("musique", "chanson", "morceau", "mélodie", "air"),
    "es": ("música", "canción", "melodía", "tema", "pieza"),
    "it": ("musica", "canzone", "brano", "melodia", "pezzo"),
    "pt": ("música", "canção", "melodia", "peça", "tema"),
}
WITH = {"de": "mit", "fr": "avec", "es": "con", "it": "con", "pt": "com"}
AND = {"de": "und", "fr": "et", "es": "y", "it": "e", "pt": "e"}
ARTICLES = {
    "de": ("ein", "eine", "das", "bitte", ""),
    "fr": ("un", "une", "le", "de la", ""),
    "es": ("un", "una", "el", "la", ""),
    "it": ("un", "una", "il", "la", ""),
    "pt": ("um", "uma", "o", "a", ""),
}


def _parsed() -> dict[str, dict[str, dict[str, tuple[str, ...]]]]:
    tables: dict = {language: {} for language in LANGUAGES}
    for row in _ROWS.strip().replace("\n  |", "|").splitlines():
        kind, concept, *cells = row.split("|")
        for language, cell in zip(LANGUAGES, cells, strict=True):
            tables[language].setdefault(kind, {})[concept] = tuple(cell.split("/"))
    return tables


PHRASES = _parsed()
"""language -> table -> concept -> phrases"""
