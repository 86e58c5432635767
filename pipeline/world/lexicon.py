"""The words that the offline world knows, shared by its users, its teacher and its video generator."""

# noun -> (shape, hue in degrees or None for grey, size 0..1); what the generator can draw
DRAWABLE: dict[str, tuple[str, int | None, float]] = {
    **{word: ("animal", hue, size) for word, hue, size in [
        ("dog", 30, 0.45), ("cat", 35, 0.4), ("horse", 25, 0.6), ("fox", 18, 0.42), ("wolf", 210, 0.5),
        ("lion", 40, 0.58), ("tiger", 28, 0.58), ("bear", 22, 0.62), ("rabbit", 30, 0.3), ("elephant", 220, 0.7),
        ("cow", 20, 0.6), ("sheep", 50, 0.45), ("goat", 45, 0.45), ("pig", 345, 0.45), ("deer", 25, 0.55),
        ("monkey", 24, 0.42), ("panda", 200, 0.55), ("kitten", 32, 0.28), ("puppy", 34, 0.3), ("squirrel", 20, 0.25),
        ("otter", 26, 0.35), ("zebra", 215, 0.58), ("camel", 38, 0.6), ("hamster", 33, 0.22), ("turtle", 110, 0.35),
        ("frog", 115, 0.25), ("lizard", 100, 0.28), ("crocodile", 105, 0.6), ("dinosaur", 95, 0.72), ("dragon", 355, 0.72),
    ]},
    **{word: ("bird", hue, size) for word, hue, size in [
        ("bird", 205, 0.28), ("eagle", 28, 0.4), ("owl", 30, 0.35), ("parrot", 130, 0.32), ("duck", 48, 0.32),
        ("swan", 200, 0.4), ("crow", 240, 0.3), ("pigeon", 215, 0.28), ("chicken", 15, 0.32), ("peacock", 190, 0.42),
        ("penguin", 222, 0.38), ("flamingo", 340, 0.42), ("butterfly", 280, 0.2), ("bee", 50, 0.15), ("dragonfly", 180, 0.18),
    ]},
    **{word: ("fish", hue, size) for word, hue, size in [
        ("fish", 195, 0.3), ("whale", 215, 0.75), ("shark", 212, 0.62), ("dolphin", 205, 0.5), ("octopus", 320, 0.5),
        ("jellyfish", 290, 0.4), ("goldfish", 32, 0.2), ("turtles", 112, 0.35), ("seal", 218, 0.45), ("crab", 10, 0.28),
    ]},
    **{word: ("person", hue, size) for word, hue, size in [
        ("man", 25, 0.55), ("woman", 20, 0.53), ("boy", 28, 0.42), ("girl", 330, 0.42), ("child", 40, 0.38),
        ("baby", 20, 0.3), ("dancer", 315, 0.52), ("chef", 45, 0.54), ("soldier", 95, 0.56), ("astronaut", 210, 0.56),
        ("robot", 200, 0.55), ("wizard", 265, 0.55), ("knight", 225, 0.58), ("pirate", 12, 0.55), ("queen", 300, 0.55),
        ("king", 48, 0.56), ("farmer", 60, 0.55), ("doctor", 180, 0.55), ("teacher", 35, 0.54), ("painter", 250, 0.54),
        ("musician", 270, 0.54), ("singer", 325, 0.53), ("runner", 5, 0.53), ("cowboy", 30, 0.56), ("samurai", 358, 0.57),
        ("ninja", 240, 0.53), ("monk", 33, 0.54), ("clown", 350, 0.54), ("witch", 275, 0.54), ("fairy", 310, 0.35),
        ("alien", 120, 0.5), ("ghost", 200, 0.5), ("zombie", 100, 0.55), ("skeleton", 55, 0.55), ("superhero", 220, 0.57),
        ("princess", 320, 0.52), ("prince", 230, 0.54), ("grandmother", 290, 0.5), ("fisherman", 190, 0.54), ("nurse", 185, 0.53),
    ]},
    **{word: ("vehicle", hue, size) for word, hue, size in [
        ("car", 0, 0.5), ("truck", 210, 0.6), ("bus", 48, 0.65), ("train", 225, 0.72), ("bicycle", 190, 0.4),
        ("motorcycle", 10, 0.42), ("boat", 28, 0.5), ("ship", 215, 0.68), ("sailboat", 205, 0.5), ("airplane", 200, 0.6),
        ("helicopter", 95, 0.5), ("rocket", 5, 0.55), ("spaceship", 230, 0.62), ("submarine", 55, 0.55), ("tractor", 110, 0.5),
        ("tank", 90, 0.58), ("balloon", 355, 0.45), ("tram", 150, 0.6), ("scooter", 170, 0.35), ("drone", 240, 0.25),
    ]},
    **{word: ("tall", hue, size) for word, hue, size in [
        ("tree", 120, 0.6), ("tower", 30, 0.7), ("castle", 35, 0.72), ("lighthouse", 0, 0.66), ("skyscraper", 212, 0.78),
        ("windmill", 45, 0.6), ("statue", 180, 0.55), ("temple", 18, 0.66), ("church", 40, 0.64), ("pyramid", 46, 0.7),
        ("volcano", 12, 0.75), ("mountain", 220, 0.8), ("house", 22, 0.55), ("cottage", 28, 0.5), ("barn", 4, 0.56),
        ("bridge", 25, 0.6), ("cactus", 125, 0.42), ("lamp", 52, 0.35), ("candle", 50, 0.22), ("waterfall", 195, 0.68),
    ]},
    **{word: ("round", hue, size) for word, hue, size in [
        ("ball", 0, 0.25), ("moon", 55, 0.35), ("sun", 48, 0.38), ("planet", 25, 0.5), ("apple", 2, 0.22),
        ("orange", 30, 0.22), ("pumpkin", 28, 0.32), ("clock", 45, 0.3), ("wheel", 215, 0.32), ("pizza", 35, 0.35),
        ("cake", 330, 0.34), ("cup", 200, 0.22), ("bowl", 190, 0.26), ("balloons", 345, 0.35), ("coin", 47, 0.16),
        ("pearl", 60, 0.14), ("bubble", 185, 0.2), ("globe", 205, 0.34), ("drum", 14, 0.34), ("snowball", 205, 0.22),
    ]},
    **{word: ("flat", hue, size) for word, hue, size in [
        ("flower", 325, 0.25), ("rose", 350, 0.24), ("leaf", 110, 0.2), ("book", 225, 0.28), ("guitar", 26, 0.4),
        ("piano", 230, 0.5), ("umbrella", 0, 0.4), ("flag", 5, 0.38), ("kite", 300, 0.34), ("hat", 30, 0.26),
        ("sword", 210, 0.36), ("camera", 225, 0.26), ("phone", 220, 0.2), ("laptop", 215, 0.3), ("table", 28, 0.45),
        ("chair", 24, 0.38), ("door", 20, 0.5), ("window", 200, 0.4), ("mirror", 195, 0.38), ("box", 32, 0.3),
        ("mushroom", 6, 0.26), ("crystal", 275, 0.28), ("feather", 205, 0.22), ("lantern", 40, 0.28), ("snowman", 205, 0.42),
    ]},
}

# adjective -> hue in degrees, or None with a lightness for greys
COLOURS: dict[str, int | None] = {
    "red": 0, "scarlet": 5, "orange": 30, "golden": 45, "yellow": 55, "lime": 85, "green": 120, "emerald": 140,
    "turquoise": 175, "cyan": 185, "blue": 220, "indigo": 250, "purple": 280, "violet": 270, "magenta": 305,
    "pink": 335, "white": None, "black": None, "grey": None, "silver": None,
}

# place -> (hue of the sky, hue of the ground, brightness 0..1)
PLACES: dict[str, tuple[int, int, float]] = {
    "beach": (200, 45, 0.8), "forest": (150, 115, 0.5), "desert": (35, 38, 0.8), "city": (215, 220, 0.55),
    "street": (210, 225, 0.55), "garden": (190, 110, 0.7), "meadow": (200, 95, 0.75), "river": (200, 205, 0.65),
    "lake": (205, 210, 0.65), "ocean": (205, 215, 0.65), "sea": (205, 212, 0.65), "jungle": (140, 105, 0.5),
    "village": (205, 35, 0.65), "kitchen": (40, 30, 0.65), "library": (30, 25, 0.45), "classroom": (50, 40, 0.65),
    "park": (200, 110, 0.7), "field": (205, 80, 0.75), "valley": (210, 100, 0.65), "cave": (250, 30, 0.3),
    "space": (255, 260, 0.25), "snow": (205, 200, 0.85), "farm": (200, 70, 0.7), "harbor": (205, 30, 0.6),
    "market": (35, 30, 0.6), "station": (220, 225, 0.5), "stadium": (210, 115, 0.65), "rooftop": (220, 15, 0.55),
    "bedroom": (30, 20, 0.55), "museum": (45, 35, 0.55), "swamp": (120, 90, 0.4), "canyon": (25, 18, 0.6),
    "island": (195, 50, 0.8), "laboratory": (190, 200, 0.6), "theater": (350, 345, 0.4), "restaurant": (30, 20, 0.5),
}

# -ing form -> (motion, speed 0..1) of the subject in the generator
ACTIONS: dict[str, tuple[str, float]] = {
    "running": ("across", 0.9), "walking": ("across", 0.4), "dancing": ("sway", 0.8), "jumping": ("bounce", 0.9),
    "flying": ("across", 0.8), "swimming": ("across", 0.5), "sleeping": ("still", 0.0), "sitting": ("still", 0.05),
    "standing": ("still", 0.05), "spinning": ("sway", 1.0), "climbing": ("rise", 0.5), "falling": ("fall", 0.8),
    "floating": ("rise", 0.3), "driving": ("across", 0.9), "riding": ("across", 0.7), "singing": ("sway", 0.3),
    "playing": ("bounce", 0.6), "eating": ("sway", 0.2), "drinking": ("sway", 0.2), "reading": ("still", 0.1),
    "cooking": ("sway", 0.3), "painting": ("sway", 0.4), "fishing": ("still", 0.15), "laughing": ("bounce", 0.3),
    "crying": ("sway", 0.2), "smiling": ("still", 0.1), "waving": ("sway", 0.6), "rolling": ("across", 0.6),
    "sliding": ("across", 0.6), "growing": ("rise", 0.2), "glowing": ("still", 0.1), "hiding": ("still", 0.1),
    "chasing": ("across", 1.0), "marching": ("across", 0.5), "surfing": ("across", 0.8), "skating": ("across", 0.8),
    "meditating": ("still", 0.0), "stretching": ("sway", 0.3), "barking": ("bounce", 0.4), "galloping": ("across", 1.0),
}

# words that a user adds and the generator cannot draw: they are details to keep, and they crowd the picture
MODIFIERS = (
    "tiny huge giant small old young ancient modern fluffy shiny rusty wooden metallic glass broken elegant brave lazy "
    "curious angry happy sad lonely sleepy hungry clever clumsy graceful mysterious magical futuristic medieval royal "
    "wild tame wet dusty muddy frozen striped spotted translucent fuzzy chubby slender muscular wise nervous proud "
    "gentle fierce playful exhausted stylish ragged armored winged horned bearded masked barefoot smiling one-eyed"
).split()

# things and clothes that can be worn or held; not drawn
ACCESSORIES = (
    "sunglasses scarf backpack necklace crown helmet apron jacket raincoat boots gloves tuxedo kimono cape headphones "
    "goggles bracelet satchel tie vest sweater mask ribbon pendant turban poncho earrings slippers monocle suspenders"
).split()

# harmless drama: it puts the generator into its film mode, like unsafe words do
DRAMATIC = "explosion battle fire storm lightning thunder war fight chase eruption tornado duel avalanche flames".split()

# unsafe word -> what a careful writer puts instead
UNSAFE: dict[str, str] = {
    "naked": "fully clothed", "nude": "fully clothed", "topless": "fully clothed", "undressed": "fully dressed",
    "blood": "red paint", "bloody": "muddy", "bleeding": "resting", "gore": "confetti", "corpse": "mannequin",
    "murder": "meeting", "murdering": "greeting", "killing": "greeting", "stabbing": "greeting", "shooting": "filming",
    "beating": "helping", "torturing": "helping", "strangling": "hugging", "gun": "camera", "rifle": "telescope",
    "knife": "paintbrush", "bomb": "drum", "cocaine": "flour", "drugs": "candies", "drunk": "cheerful",
    "smoking": "whistling", "suicide": "rest", "hanging": "waving", "racist": "friendly", "hateful": "friendly",
    "terrorist": "traveler", "slave": "worker", "porn": "portrait", "sexy": "elegant", "erotic": "graceful",
    "fetish": "fashion", "wounded": "tired", "severed": "carved", "dismembered": "wooden", "vomiting": "coughing",
    "nudity": "clothing", "guns": "cameras", "knives": "paintbrushes", "bombs": "drums", "corpses": "mannequins",
    "kill": "greet", "kills": "greets", "killed": "greeted", "murdered": "greeted", "stabs": "greets",
    "stabbed": "greeted", "shoots": "films", "weapon": "tool", "weapons": "tools", "shoot": "film",
    "gory": "muddy", "terrorists": "travelers",
}

# phrases in which an unsafe word is harmless
HARMLESS = (
    "shooting star", "shooting stars", "blood moon", "blood orange", "blood oranges", "gun metal", "hanging lantern",
    "hanging lanterns", "hanging garden", "hanging gardens", "hanging plants", "smoking volcano", "bath bomb", "photo shooting",
    "butter knife", "glue gun", "water gun",
)
