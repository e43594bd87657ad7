"""Genres and what they are called.

A concept's first phrase is its usual name. Not run by itself.
"""

from .tables import table

GENRES = table(
    {
        "pop": "pop, pop music, chart pop, radio pop, teen pop, mainstream pop, bubblegum pop, "
        "power pop, pop rock, soft pop",
        "synth pop": "synth pop, synthpop, synth-pop, electropop, electro pop, new wave",
        "indie pop": "indie pop, indie, bedroom pop, dream pop, shoegaze, alt pop",
        "k-pop": "k-pop, kpop, j-pop, jpop, city pop, anime opening, anime",
        "dance pop": "dance pop, dance-pop, eurodance, europop, eurobeat",
        "latin": "latin, latin pop, reggaeton, salsa, cumbia, merengue, bachata, mambo, rumba",
        "tango": "tango, milonga, flamenco, bolero",
        "rock": "rock, rock music, classic rock, alternative rock, alt rock, indie rock, garage "
        "rock, stadium rock, arena rock, southern rock, britpop, post-rock, progressive rock, "
        "prog rock",
        "soft rock": "soft rock, yacht rock, acoustic rock",
        "hard rock": "hard rock, grunge, stoner rock",
        "metal": "metal, heavy metal, thrash metal, death metal, black metal, metalcore, nu metal, "
        "power metal, doom metal, djent",
        "punk": "punk, punk rock, pop punk, hardcore punk, ska punk, emo, hardcore",
        "rock and roll": "rock and roll, rock 'n' roll, rock n roll, rockabilly, surf rock, twist "
        "music",
        "electronic": "electronic, electronica, electronic music, electro, edm, dance, dance "
        "music, club, club music, rave, techno pop, idm",
        "house": "house, house music, deep house, tech house, progressive house, tropical house, "
        "acid house, electro house, big room, french house, future house",
        "techno": "techno, minimal techno, detroit techno, acid techno, hard techno, industrial",
        "trance": "trance, psytrance, goa, uplifting trance, hardstyle",
        "drum and bass": "drum and bass, drum & bass, drum n bass, drum'n'bass, dnb, d&b, jungle, "
        "breakbeat, breakcore",
        "dubstep": "dubstep, brostep, uk garage, future bass, bass music",
        "synthwave": "synthwave, retrowave, vaporwave, outrun, darkwave, cyberpunk",
        "chiptune": "chiptune, 8-bit, 8 bit, 8bit, 16-bit, chip music, arcade music, "
        "video game music, arcade, game boy",
        "hip hop": "hip hop, hip-hop, hiphop, rap, rap beat, boom bap, old school hip hop, "
        "freestyle beat, type beat",
        "trap": "trap, trap beat, drill, phonk, cloud rap, trap music",
        "lo-fi": "lo-fi, lofi, lo fi, lofi hip hop, lo-fi hip hop, chillhop, lofi beats, lofi "
        "beat, chill beats, chill beat, jazzhop",
        "chill": "chill, chillout, chill out, chill-out, downtempo, trip hop, trip-hop, chillwave, "
        "electro chill, electronic chill",
        "r&b": "r&b, rnb, r and b, rhythm and blues, neo soul, neo-soul, slow jam",
        "soul": "soul, motown, gospel, soul music",
        "funk": "funk, funky, p-funk, funk music, boogie, funk rock",
        "disco": "disco, nu disco, nu-disco, disco music, italo disco, disco house, disco funk",
        "reggae": "reggae, dub, roots reggae, dancehall, rocksteady, calypso, island music, "
        "reggae music",
        "ska": "ska, two-tone",
        "afrobeat": "afrobeat, afrobeats, afro house, amapiano, african",
        "jazz": "jazz, jazzy, jazz music, bebop, hard bop, cool jazz, jazz fusion, jazz trio, "
        "jazz quartet, dixieland, gypsy jazz, latin jazz, modern jazz",
        "smooth jazz": "smooth jazz, lounge, lounge music, cocktail jazz, easy listening, "
        "elevator music, jazz ballad",
        "swing": "swing, big band, electro swing, swing music, jive",
        "bossa nova": "bossa nova, bossa, samba, bossanova",
        "blues": "blues, bluesy, delta blues, chicago blues, blues rock, blues shuffle, blues "
        "music, twelve-bar blues",
        "ragtime": "ragtime, honky tonk, boogie-woogie, boogie woogie, stride piano",
        "folk": "folk, folk music, indie folk, folk rock, singer-songwriter, singer songwriter, "
        "campfire song, world music, folk song, neofolk",
        "medieval": "medieval, tavern music, tavern, bard, minstrel, renaissance fair",
        "polka": "polka, oompah, klezmer, balkan",
        "sea shanty": "sea shanty, shanty, pirate",
        "country": "country, country music, americana, western, country rock, country pop, "
        "outlaw country, cowboy, country song",
        "bluegrass": "bluegrass, hoedown, square dance",
        "celtic": "celtic, irish, scottish, irish folk, jig, reel, gaelic",
        "acoustic": "acoustic, unplugged, acoustic pop, acoustic music",
        "waltz": "waltz, viennese waltz, carousel, ballroom waltz, merry-go-round, waltzing",
        "march": "march, marching band, military march, military, parade, marching",
        "fanfare": "fanfare, anthem, national anthem, royal",
        "ballad": "ballad, love song, power ballad, romantic ballad, torch song, slow song, piano "
        "ballad",
        "ambient": "ambient, ambient music, soundscape, drone, dark ambient, space music, "
        "atmospheric, ambience",
        "new age": "new age, meditation music, spa music, yoga music, healing music, spa, zen",
        "lullaby": "lullaby, cradle song, bedtime song, lullabies",
        "nursery rhyme": "nursery rhyme, children's song, kids song, children's music, kids music",
        "classical": "classical, classical music, chamber music, romantic era, concerto, "
        "symphony, etude, nocturne, prelude, impressionist",
        "baroque": "baroque, renaissance, minuet, fugue, harpsichord music, baroque music",
        "string music": "string quartet, string trio, adagio for strings",
        "church": "church music, hymn, sacred, choral, organ music, requiem",
        "orchestral": "orchestral, symphonic, orchestra music, film score, movie score, "
        "soundtrack, cinematic, film music, movie music, orchestral score",
        "epic": "epic, trailer, movie trailer, epic trailer, trailer music, battle music, "
        "epic orchestral, epic battle, epic music",
        "fantasy": "fantasy, adventure music, rpg, fairy tale, quest music",
        "christmas": "christmas, xmas, holiday music, carol, christmas carol, jingle",
        "horror": "horror, halloween, haunted house, horror movie, scary movie",
        "minimalism": "minimalist, minimalism, neoclassical, contemporary classical",
        "circus": "circus, clown, cartoon, slapstick",
    }
)

ERAS = table(
    {
        "50s": "50s, 1950s, fifties, 1950's",
        "60s": "60s, 1960s, sixties, 60's",
        "70s": "70s, 1970s, seventies, 70's",
        "80s": "80s, 1980s, eighties, 80's, '80s, 1985",
        "90s": "90s, 1990s, nineties, 90's, '90s, 1995",
        "2000s": "2000s, 2010s, early 2000s, y2k",
        "old": "retro, vintage, old school, old-school, oldies, classic, old, old-fashioned, "
        "throwback, 1930s, 1920s, 40s",
        "new": "modern, contemporary, futuristic, current, new, fresh, 2020s",
    }
)
