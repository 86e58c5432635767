"""Terms travel with what is made."""

from pipeline.publishing.terms import UNKNOWN, terms


def test_terms_travel_by_name_and_unknown_ones_are_said_to_be_unknown():
    assert "register" in terms("diffusers", "THUDM/CogVideoX-5b")
    assert terms("diffusers", "THUDM/CogVideoX-2b") == "Apache-2.0"
    assert "OpenRAIL" in terms("diffusers", "CompVis/stable-diffusion-v1-4")
    assert "Llama 3" in terms("policy", "meta-llama/Meta-Llama-3-8B-Instruct")
    assert terms("openai", "my-own-model") == UNKNOWN
