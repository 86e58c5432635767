"""The long tail of the synthetic users' vocabulary: words that few queries have and the generator cannot draw."""

NOUNS = """
lantern-maker blacksmith beekeeper lamplighter ferryman clockmaker juggler acrobat sculptor violinist drummer
gardener barista librarian archer fencer skater surfer sailor miner carpenter potter weaver baker butcher tailor
florist shepherd nomad hermit oracle sorcerer gladiator viking pharaoh emperor duchess jester minotaur centaur
griffin phoenix unicorn mermaid goblin troll gnome golem cyclops kraken hydra sphinx yeti bigfoot gargoyle
banshee vampire werewolf cheetah leopard jaguar panther lynx raccoon badger hedgehog beaver weasel ferret moose
reindeer bison buffalo antelope gazelle giraffe hippo rhino kangaroo koala wombat platypus sloth anteater
armadillo porcupine skunk opossum lemur gorilla orangutan chimpanzee baboon walrus narwhal manatee stingray
seahorse starfish lobster shrimp squid clam urchin salmon trout piranha eel tuna sturgeon axolotl salamander
gecko iguana chameleon cobra python rattlesnake tortoise hawk falcon vulture raven magpie sparrow robin finch
hummingbird woodpecker kingfisher heron stork crane pelican seagull albatross puffin ostrich emu turkey pheasant
quail rooster hen goose beetle ladybug ant grasshopper cricket spider scorpion moth caterpillar snail earthworm
mosquito firefly mantis centipede oak pine willow bamboo palm birch maple cherry-tree baobab sequoia fern moss
ivy orchid tulip sunflower daisy lily lotus dandelion poppy lavender thistle strawberry banana pineapple
watermelon mango peach lemon coconut avocado tomato carrot eggplant broccoli cabbage corn bread cheese burger
hotdog taco sushi ramen noodles pancake waffle donut cupcake cookie chocolate icecream popcorn milkshake
espresso teapot kettle toaster blender fridge oven spoon fork ladle saucepan vase basket bucket barrel crate
suitcase briefcase wallet envelope letter parchment scroll map compass telescope microscope hourglass chandelier
candelabra typewriter gramophone radio television jukebox keyboard smartwatch joystick console satellite antenna
telegraph violin cello trumpet saxophone flute harp banjo accordion tambourine xylophone harmonica bagpipes
microphone hammer wrench anvil shovel rake ladder broom mop bellows furnace chimney engine propeller turbine
gear piston skateboard rollerblades snowboard sled kayak canoe raft gondola ferry yacht galleon zeppelin
hovercraft monorail ambulance firetruck bulldozer excavator forklift limousine convertible carriage chariot
rickshaw caravan fountain obelisk pagoda mosque cathedral monastery palace fortress dungeon labyrinth greenhouse
aquarium carousel rollercoaster ferris-wheel billboard mailbox streetlamp hydrant bench fence gate staircase
balcony archway column throne hammock pillow blanket carpet curtain tapestry portrait canvas mural mosaic
origami puppet marionette doll teddy-bear toy-soldier chessboard dice domino marble yo-yo trampoline swing
seesaw sandcastle snowflake icicle iceberg glacier geyser meteor comet asteroid nebula galaxy aurora rainbow
sunset sunrise horizon shadow reflection ripple puddle dewdrop raindrop cloud fog mist dust ember spark ash lava
sand pebble boulder coral seaweed driftwood
""".split()

ADJECTIVES = """
beautiful cute realistic cinematic dark bright colorful epic giant-sized miniature enormous ordinary peculiar
cozy gloomy sunny rainy windy foggy misty snowy stormy moonlit starry smoky sandy mossy leafy thorny rocky icy
slippery sticky velvety silky woolen leather wicker porcelain ceramic marble granite bronze copper iron steel
chrome neon holographic iridescent opalescent pearly sparkling glittering luminous radiant pale faded cracked
crooked twisted tangled knotted woven knitted embroidered carved painted gilded jeweled ornate baroque gothic
victorian art-deco rustic vintage retro steampunk cyberpunk dystopian utopian post-apocalyptic prehistoric
ancestral tribal nomadic exotic tropical arctic alpine coastal urban rural suburban abandoned haunted enchanted
cursed sacred forbidden forgotten hidden sunken floating-stone crowded deserted bustling quiet noisy peaceful
serene majestic humble noble heroic cowardly grumpy jolly cheeky mischievous solemn dreamy drowsy dizzy confused
surprised frightened excited bored jealous generous greedy stubborn patient impatient reckless careful skillful
talented famous retired homeless wealthy poor elderly bald freckled curly-haired long-haired blindfolded
tattooed plump skinny lanky burly petite tall short wrinkled rosy tanned translucent-winged three-legged
two-headed oversized undersized rotund oval hexagonal spiral symmetrical fractal psychedelic surreal abstract
minimalist whimsical melancholic nostalgic ominous eerie spooky creepy sinister
""".split()

ACTIONS = """
strolling wandering sprinting jogging tiptoeing crawling limping stumbling tumbling leaping hopping skipping
twirling pirouetting juggling balancing swinging dangling gliding soaring hovering diving plunging splashing
paddling rowing sailing drifting sinking rising emerging vanishing fading melting freezing thawing boiling
sizzling steaming burning smoldering exploding crumbling collapsing cracking splitting merging morphing
transforming blooming wilting sprouting ripening rustling whispering shouting yelling whistling humming chanting
preaching lecturing debating arguing negotiating gossiping chatting texting typing scrolling filming
photographing sketching drawing sculpting carving welding hammering sawing digging planting watering harvesting
plowing milking shearing feeding grazing nibbling chewing gulping sipping licking sniffing scratching yawning
blinking winking frowning grinning giggling sobbing sighing kneeling bowing saluting hugging kissing wrestling
boxing fencing sparring training lifting pushing pulling dragging carrying tossing throwing catching kicking
dribbling bowling golfing skiing snowboarding sledding rollerblading skateboarding cycling pedaling steering
parking landing hatching nesting pecking howling growling purring meowing roaring hissing slithering burrowing
foraging hunting stalking prowling pouncing ironing folding sewing knitting weaving sweeping mopping washing
polishing repairing assembling programming calculating experimenting pondering daydreaming shivering sweating
trembling levitating teleporting glitching
""".split()

PLACES = """
airport alley amphitheater arcade attic avenue bakery balcony ballroom bamboo-grove bank barbershop basement bay
bayou bookstore boulevard bus-stop cabin cafe campsite casino cathedral cellar cemetery chapel cliff cloister
cornfield courtyard creek crossroads deck diner dock driveway dunes escalator factory fairground fjord forge
gallery gas-station glacier greenhouse gym hallway hangar hillside hospital hotel igloo junkyard lagoon
laundromat lobby lounge marsh mine monastery moor motel nightclub oasis observatory office orchard outback
parlor pasture patio penthouse pier plantation plateau playground plaza pond porch prairie promenade quarry
railway ranch rainforest reef ruins runway savanna school shipyard shoreline shrine sidewalk stable steppe
studio subway suburb summit sunroom supermarket tavern teahouse terrace trail treehouse trench tundra tunnel
vineyard volcano-crater warehouse waterfront wharf workshop
""".split()

STYLES = """
cinematic|realistic|pixar style|anime style|studio ghibli style|in the style of van gogh|oil painting|
watercolor|claymation|stop motion|3d render|unreal engine|black and white|vhs footage|film noir|pixel art|
low poly|comic book style|hyperrealistic|photorealistic|documentary style|vaporwave|ukiyo-e|pencil sketch|
isometric|macro photography|tilt shift|fantasy art|concept art|wes anderson style|in the style of moebius|
impressionist painting|cartoon|disney style|8mm film|nature documentary|music video|retro 80s|lego style|
paper cutout|stained glass|charcoal drawing|long exposure
"""

WHEN = """
at night|at sunset|at dawn|in the rain|in winter|in autumn|in spring|on a sunny day|at golden hour|
under the stars|under a full moon|in heavy fog|in the snow|on a cloudy afternoon|in the early morning|at noon|
on halloween|at christmas|during an eclipse|in the 1920s|in the year 3000|after the rain|on a windy day|
in summer heat
"""

SHOTS = """
close up of|drone shot of|wide shot of|time lapse of|aerial view of|slow motion shot of|portrait of|
side view of|tracking shot of|top down view of|low angle of|video of|create a video of|make a video of|
animation of|macro shot of|pov of|a short film about|show me|generate a clip of
"""

NON_LATIN = """
一只猫在花园里跑步|夜晚的城市街道，下着雨|红色的龙飞过山脉|小女孩在海边放风筝|宇航员在月球上跳舞|
桜の下で踊る少女|夜の東京を走る赤い車|森の中の小さな家|달빛 아래 춤추는 소녀|비 오는 거리의 고양이|
собака бежит по снегу|старый корабль в бурном море|девушка танцует под дождём|медведь играет на гитаре в лесу|
قطة تجلس على النافذة|رجل يمشي في الصحراء|बारिश में नाचता हुआ मोर|एक लड़की बगीचे में दौड़ रही है|
เด็กผู้หญิงวิ่งเล่นในสวน|γάτα που κοιμάται στο παράθυρο|כלב רץ על החוף|мальчик запускает воздушного змея|
雪山上的雄鹰|海底のクラゲ
"""

SYLLABLES = (
    "ba bel bri cal cor da del dra el fa fen fi gar glo gri hal ira jor ka kel kor la lin lo lum ma mar mi mor na nel "
    "ni nor o or pa pel quin ra rel ri ro sa sel shi sol ta tam thal ti tor u va vel vi wen xa yor za zel zi zor"
).split()

TAILS = "shaped covered powered themed colored inspired eyed filled studded scented infused crested".split()
