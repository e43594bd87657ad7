"""Words that mean nothing here, common misspellings, and slips of the finger. Not run by itself."""

import random
import re
from pathlib import Path

# Debian's wamerican (SCOWL): free for any purpose.
WORD_LIST = Path("/usr/share/dict/american-english")

LITTLE_WORDS = (
    "the a an of and in on at by my your our this that very some it is as like from to into with "
    "about over under through while where when who what which i you we they me him her us them he "
    "she be been was were are am do does did has have had will would can could should may might "
    "must so but or if then than too also just more most less much many few lots lot really quite "
    "rather pretty super even still always never again up down out around between after before "
    "during for there here all any each every both other another one two three four five first "
    "last next please want need make made create generate give play write compose get put let add "
    "use using used featuring feat ft feels feeling feel sounds sounding sound style kind type "
    "sort bit something anything think imagine hear listen walking sitting going coming running "
    "looking day night morning evening summer winter spring city street car home room beach sea "
    "sky rain sun moon people friend friends girl boy man woman child kid kids cat dog love life "
    "time world dream heart head hand eyes young small little long short full perfect good best "
    "famous popular typical ideal inspired based played performed driven backed led built mixed "
    "mood vibe atmosphere melody chords harmony verse bridge intro outro drop build-up ending "
    "radio live studio band artist singer concert stage 10 20 30 seconds minute second long-form "
    "its it's i'm don't let's that's there's"
).split()

# Common words that tell nothing about music: known as wholes, they disturb less than in letters.
COMMON_WORDS = (
    "accident action actor afternoon air airplane airport album alley ancient angel animal "
    "animals apartment apple arms army arrival artist asking aunt autumn baby back bag ball "
    "balloon bank basement bath bay bear beard bed bedroom bees bell bench big bike bird birds "
    "birthday black blanket blossom boat body book books boots bottle bottom bowl box boys brain "
    "branch bread break breakfast breath breeze bridge broken brother brown bubble building bus "
    "business busy butterfly button buy cabin cafe cake call camera camp candle candles canyon "
    "captain car cards castle catch cave ceiling celebration center chair chance change chapter "
    "chase cheese chicken chocolate church cinema circle class clean clear climb clock close "
    "clothes cloud clouds coast coat coffee cold color colour company computer cook cooking "
    "corner cottage cotton country couple courage cow crazy cream creature cross crowd crystal "
    "cup dad dance dancers dancing dawn dead deep deer desert desk dinner dinosaur dirt doctor "
    "dogs door dragon drawing dream dreams dress drink drive driver duck dust early earth east "
    "eat egg elephant elf empire empty engine evil eye face fact fairy fall falling family far "
    "farm farmer father favourite favorite fear feet fence field fight film fire fireplace "
    "fireworks fish flag flight floor flower flowers fly fog food foot football forest forever "
    "fox free fresh fruit fun future gallery game garden gate ghost giant gift glass gold golden "
    "goodbye grandma grandpa grass gray great green grey ground group grow guest hair half hall "
    "happen harbor harbour hat hay heat heaven hello hero high hill hills history holiday honey "
    "hope horse horses hospital hot hotel hour hours hungry hunter ice idea indoor island jacket "
    "job journey joy jump jungle kind king kingdom kiss kitchen kitten knight ladder lady lake "
    "lamp land landscape language late laugh laughing law leaf learn leather leave leaves left "
    "lemon lesson letter library lie light lightning lights lion list living lobby lock lonely "
    "lost lovers luck lunch machine mad magic man map market marriage mask master match math "
    "memories memory men metal middle midnight milk mind minutes mirror miss missing mission mist "
    "moment money monkey monster month moonlight mother motor mountain mountains mouse mouth "
    "movie mud museum mystery nature neon nest news nice noise north nose number ocean office old "
    "open orange order owl page paint painting palace paper parade park party path paths peace "
    "pen people person phone photo picture pig pilot pink pirate place plane planet planets plant "
    "plants plastic plate player pocket poem police pond pool poor post pot power prince princess "
    "prison problem product promise public purple queen question rabbit race radio railway "
    "rainbow reading ready red restaurant rich ride riding right ring river road robot robots "
    "rocks roof rooftop rose round royal rush sad safe sail sailor salt sand saturday scene "
    "school science sea season secret sentence shadow shadows shape share sheep shell ship ships "
    "shoes shop shore shower side sight sign silence silver sister sit skin skirt sky sleeping "
    "smell smile smoke snow snowy soap social soil soldier son soup south space spaceship speak "
    "special speech spider spirit sport sports square stairs star stars start station steam steel "
    "step stone stop store storm story stranger stream street strong student students subway "
    "sugar summer sun sunday sunlight sunrise sunset sunshine surf surprise swimming sword table "
    "tail tale talk tall taxi tea teacher team tears teeth telling temple ten tent test thing "
    "things thousand thunder ticket tiger tired toast today tomorrow tonight top touch tower town "
    "toy toys traffic train trains travel traveler treasure tree trees trip truck true turn uncle "
    "underground universe university vacation valley van victory view village visit voice waiting "
    "wake wall walk war warrior wash water waterfall wave waves weather website wedding week "
    "weekend west wheel white wife wild wind window windows wine wings winner wish witch wizard "
    "wolf woman women wonder wonderful wood wooden woods word words work workers working year "
    "years yellow yesterday zombie"
).split()

OPENERS = (
    "",
    "",
    "",
    "a ",
    "a ",
    "an ",
    "some ",
    "the ",
    "this is a ",
    "I want ",
    "I need ",
    "please make ",
    "make me a ",
    "create a ",
    "generate a ",
    "give me ",
    "write a ",
    "can you play ",
    "compose a ",
    "something like ",
    "could you make a ",
    "a piece of ",
    "produce a ",
    "I'd like some ",
    "we need a ",
    "imagine a ",
    "let's hear some ",
    "a short ",
    "a really ",
    "a very ",
    "a 30 second ",
    "my favourite ",
    "prompt: ",
)

MISSPELLED = {
    "guitar": "gitar guitarr guittar giutar gutar",
    "guitars": "gitars guitras",
    "piano": "paino pianno piono pinao",
    "drums": "drumms durms drmus drusm",
    "violin": "voilin violine vilolin",
    "trumpet": "trumpt trompet trumpit",
    "saxophone": "saxaphone saxofone",
    "synthesizer": "synthesiser synthisizer",
    "techno": "tecno tekno",
    "reggae": "raggae regae reggea reggay",
    "classical": "clasical classicle",
    "orchestral": "orchestal orchestrel",
    "electronic": "electonic eletronic electronc",
    "melancholic": "melancolic melanholic",
    "energetic": "energtic enrgetic",
    "cinematic": "cinamatic cinematc",
    "acoustic": "accoustic acustic acoustc",
    "ambient": "ambiant ambent",
    "country": "contry coutry",
    "jazz": "jaz jazzz",
    "relaxing": "relaxin relaxng",
    "peaceful": "peacefull peacful",
    "cheerful": "cheerfull chearful",
    "upbeat": "up-beat upbeet",
    "percussion": "percusion precussion",
    "flute": "floot fluet",
    "strings": "stringz strngs",
    "slow": "sloow slwo",
    "fast": "fats fsat",
    "happy": "hapy happpy hppy",
    "rock": "rokc rockk",
    "lullaby": "lulaby lullabye",
    "waltz": "walz waltzz",
    "beautiful": "beatiful beutiful",
    "without": "whithout witout w/o",
    "with": "wiht w/ wth",
}
MISSPELLED = {word: tuple(forms.split()) for word, forms in MISSPELLED.items()}


def irrelevant_words() -> list[str]:
    if not WORD_LIST.exists():
        raise FileNotFoundError(
            f"got no word list at {WORD_LIST}, expected Debian's: install wamerican"
        )
    return [w for w in WORD_LIST.read_text().split() if re.fullmatch(r"[a-z]{3,10}", w)]


def slip(word: str, rng: random.Random) -> str:
    """One letter doubled, dropped, replaced or two of them swapped."""
    if rng.random() < 0.4 and word.lower() in MISSPELLED:
        return rng.choice(MISSPELLED[word.lower()])
    at = rng.randrange(1, len(word) - 1)
    kind = rng.randrange(4)
    if kind == 0:
        return word[:at] + word[at] + word[at:]
    if kind == 1:
        return word[:at] + word[at + 1 :]
    if kind == 2:
        return word[:at] + rng.choice("abcdefghijklmnopqrstuvwxyz") + word[at + 1 :]
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
