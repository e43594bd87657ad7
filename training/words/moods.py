"""Moods, strength, density, speed and uses, and what they are called. Not run by itself."""

from .tables import table

MOODS = table(
    {
        "happy": "happy, cheerful, joyful, joyous, bright, sunny, upbeat, positive, glad, jolly, "
        "merry, cheery, feel-good, feel good, lighthearted, carefree, festive, fun, blissful, "
        "bubbly, jubilant, good mood, delightful, summery, happy-go-lucky, bouncy",
        "hopeful": "uplifting, hopeful, optimistic, inspiring, inspirational, motivational, "
        "heartwarming, empowering, encouraging, motivating, triumphant, victorious",
        "playful": "playful, quirky, goofy, silly, funny, comical, whimsical, cute, childlike, "
        "mischievous, humorous, zany",
        "romantic": "romantic, loving, sweet, lovely, intimate, heartfelt, sensual, sexy, "
        "passionate, seductive, affectionate",
        "calm": "calm, peaceful, relaxing, soothing, relaxed, tranquil, serene, gentle, mellow, "
        "tender, laid back, laid-back, chilled, comforting, cozy, calming, meditative, "
        "contemplative, soft and slow, delicate, restful, sleepy, slow and quiet, lazy, easygoing",
        "dreamy": "dreamy, ethereal, floating, heavenly, magical, hypnotic, spacey, otherworldly, "
        "hazy, celestial, enchanting, angelic, psychedelic, trippy",
        "groovy": "groovy, danceable, catchy, cool, swinging, stylish, slick, head-nodding, "
        "rhythmical, sassy",
        "energetic": "energetic, high energy, driving, lively, exciting, pumping, dynamic, hyper, "
        "high-energy, party, explosive, euphoric, vibrant, wild, frantic, exhilarating, banging",
        "heroic": "heroic, majestic, grand, glorious, noble, powerful and heroic, adventurous, "
        "monumental, larger than life, proud",
        "sad": "sad, melancholic, melancholy, mournful, lonely, sorrowful, heartbroken, "
        "depressing, rainy, gloomy, tearful, emotional, somber, sombre, heartbreaking, tragic, "
        "grieving, depressed, lonesome, sad and slow, aching, despairing, blue, unhappy, moody",
        "nostalgic": "nostalgic, bittersweet, wistful, longing, reflective, reminiscent, yearning, "
        "introspective, pensive, autumn",
        "dark": "dark, mysterious, ominous, eerie, spooky, scary, creepy, haunting, sinister, "
        "evil, brooding, menacing, unsettling, ghostly, gothic, shadowy, foreboding, cold, "
        "horrifying",
        "tense": "tense, suspenseful, dramatic, intense, anxious, nervous, thrilling, nail-biting, "
        "urgent, dangerous, sneaky, spy, serious, restless, chase",
        "angry": "angry, aggressive, furious, brutal, raging, violent, fierce, rebellious, savage, "
        "heavy and angry, hard-hitting",
    }
)

ENERGIES = table(
    {
        "soft": "soft, quiet, softly, low energy, hushed, subdued, understated, light, pianissimo, "
        "piano dynamics, whispering, low-key, quietly",
        "loud": "loud, strong, powerful, heavy, massive, hard hitting, thunderous, huge, forte, "
        "fortissimo, bombastic, full-on, noisy, hard, roaring",
    }
)
DENSITIES = table(
    {
        "sparse": "sparse, minimal, long notes, simple melody, spacious, few notes, sustained, "
        "airy feel, slow melody, stripped-down, bare",
        "busy": "busy, many notes, fast notes, virtuosic, complex, lots of notes, fast melody, "
        "intricate melody, arpeggiated, ornate, shredding solo",
    }
)

TEMPO_WORDS = table(
    {
        "slow": "slow, slow tempo, slow bpm, slowly, low tempo, slow paced, slow-paced, "
        "unhurried, adagio, largo, lento, very slow, downbeat tempo, low bpm, at a slow pace, "
        "crawling, slower",
        "medium": "medium tempo, mid tempo, mid-tempo, midtempo, moderate tempo, walking pace, "
        "moderate, andante, moderato, medium paced, medium speed, not too fast, steady tempo",
        "fast": "fast, fast tempo, fast paced, fast-paced, quick, uptempo, up-tempo, high tempo, "
        "rapid, speedy, allegro, presto, vivace, very fast, high bpm, quickly, racing, double "
        "time, at breakneck speed, faster, brisk",
    }
)
NUMBER_FORMS = (
    "{} bpm, {} bpm, {} BPM, at {} bpm, {}bpm, {}BPM, bpm: {}, bpm {}, tempo {}, tempo: {}, "
    "{} beats per minute, tempo of {}, around {} bpm, at {} BPM, {} Bpm, = {} bpm"
).split(", ")

USES = table(
    {
        "study": "for studying, study music, to study to, for concentration, for homework, for "
        "focus, for reading, while working, for coding",
        "sleep": "for sleeping, sleep music, to fall asleep to, for bedtime, before sleep, for a "
        "baby",
        "meditate": "for meditation, for yoga, for relaxation, for a spa, to relax, for "
        "mindfulness, meditation, for breathing exercises",
        "game": "for a video game, for a game, game soundtrack, for a platformer, for a menu "
        "screen, game music, for a level",
        "boss": "for a boss fight, boss battle theme, boss battle, final boss, battle theme, "
        "for a fight scene, combat music, for a battle, fighting game",
        "party": "for a party, party music, to dance to, for the club, for dancing, dance floor, "
        "club night, for the dance floor, for a beach party",
        "workout": "for working out, workout music, gym music, for the gym, for running, "
        "for sports, to run to, for a workout, sports highlights",
        "advert": "for a commercial, for an advert, corporate, for a presentation, corporate "
        "video, for a product video, advertising, explainer video, for a startup",
        "vlog": "for a vlog, for a travel video, for youtube, youtube video, for instagram, for a "
        "podcast intro, podcast intro, for a tutorial, for a slideshow, background for a vlog",
        "wedding": "for a wedding, wedding music, first dance, for a candlelit dinner, for lovers, "
        "for valentine's day, for a proposal",
        "cafe": "for a coffee shop, coffee shop music, in a bar, in a cozy bar, restaurant music, "
        "for a cafe, dinner music, hotel lobby, in a jazz club",
        "film": "for a film, for a film scene, for a movie, for a documentary, for a short film, "
        "movie scene, end credits, opening credits, for the theater",
        "sad scene": "for a sad scene, for a funeral, funeral, for a breakup, for a goodbye, "
        "crying, for a rainy day, on a rainy afternoon",
        "scary scene": "for a horror game, for a scary scene, for a haunted house, in a dark "
        "forest, for a crime scene, murder mystery, detective story",
        "nature": "for a nature documentary, for the forest, by the ocean, under the stars, "
        "for a sunrise, for a sunset, in space, mountains, underwater",
        "kids": "for children, for kids, for a kids' show, for a birthday, for toddlers, "
        "children's video, happy birthday",
        "drive": "for a road trip, for driving, for driving at night, late night drive, on the "
        "highway, night drive",
        "morning": "for the morning, sunday morning, waking up, for breakfast, for a picnic",
        "background": "background music, in the background, as background, instrumental, no "
        "vocals, without vocals, no singing, without lyrics, no voice, loop, loopable, royalty "
        "free, high quality, studio quality, hi-fi, hd, stereo, best quality, masterpiece, demo, "
        "without words, no lyrics",
    }
)

NOUNS = (
    "song, track, music, piece, tune, melody, instrumental, theme, jam, composition, number, "
    "song, track, music, piece, tune, recording, soundtrack, sounds, vibe, vibes, version, cover, "
    "single"
).split(", ")
