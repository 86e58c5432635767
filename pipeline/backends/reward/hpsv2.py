"""HPSv2: which picture people would prefer for a text, by a CLIP ViT-H/14 tuned on their choices (Wu et al. 2023).

Dimension HPS = the cosine as it is, about 0.2 to 0.35 (tables show it times 100), the mean over 4 frames. v2.0 and
v2.1 differ in their weights alone and in their scale (Stable Diffusion 1.4: 26.95 and 25.35), so figures of the two do
not compare; params.model says which. The authors' .pt files are pickles in open_clip's layout; `convert` (beside this
module) makes them what is read here.
"""

from pipeline.backends.reward.clip import by_cosine
from pipeline.backends.reward.in_process import InProcess
from schemas.params_reward import RegressionScorerParams


def hpsv2(params: RegressionScorerParams) -> InProcess:
    """Return the scorer. Raises DataError."""
    return by_cosine(params, "HPS", 1)
