"""What an answer cost: by prices given in params, else by the snapshot of genai-prices; no price, no guess."""

import json
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from urllib.parse import urlsplit

import click

from pipeline.runtime.store import Store, store_key
from schemas.params import EndpointParams

BATCH_SHARE = 0.5
"""OpenAI and Azure ask half the price for what a batch answers"""


@dataclass(frozen=True)
class Price:
    """US dollars for one input token and one output token, and who says so."""

    input: float
    output: float
    source: str

    def cost_usd(self, input_tokens: float, output_tokens: float) -> float:
        return input_tokens * self.input + output_tokens * self.output


def find_price(params: EndpointParams, base_url: str, store: Store) -> Price | None:
    """Return the price of `params.model` at `base_url`, None where nobody knows it.

    A server of one's own has none unless params give it, whatever the same model costs elsewhere.
    """
    share = BATCH_SHARE if params.mode == "batch" else 1.0
    usd_input, usd_output = params.usd_per_million_input_tokens, params.usd_per_million_output_tokens
    if usd_input is not None and usd_output is not None:
        return Price(usd_input / 1e6 * share, usd_output / 1e6 * share, "params.yaml")
    address = urlsplit(base_url)
    host = address.hostname or ""
    if "." not in host or host.replace(".", "").isdigit() or not find_spec("genai_prices"):
        return None
    base_url = f"{address.scheme}://{host}{address.path}"  # without a name and password
    source = f"genai-prices {version('genai-prices')}"
    key = store_key("price", source=source, model=params.model, base_url=base_url)
    if (price := store.get(key)) is None:
        # in a process of its own: the snapshot takes a quarter of a second and 60 MB to load
        command = [sys.executable, "-c", LOOK_UP, params.model, base_url]
        process = subprocess.run(command, capture_output=True, text=True, check=False)
        if process.returncode:  # not kept: another time it may know
            return None
        price = json.loads(process.stdout)
        store.put(key, "price", {"source": source, "model": params.model, "base_url": base_url}, price)
    return Price(price["input"] * share, price["output"] * share, source) if price else None


LOOK_UP = """
import json, sys
from genai_prices import Usage, calc_price
_, model, url = sys.argv
def usd(**tokens): return float(calc_price(Usage(**tokens), model, provider_api_url=url).total_price)
try: print(json.dumps({"input": usd(input_tokens=1000) / 1000, "output": usd(output_tokens=1000) / 1000}))
except LookupError: print("{}")
"""


def require_price_for_budget(params: EndpointParams, price: Price | None) -> None:
    """Raise ClickException when a budget is set that cannot be kept, because no price is known."""
    if params.budget_usd is not None and price is None:
        raise click.ClickException(
            f"budget_usd is set, but the price of {params.model} is unknown: set usd_per_million_input_tokens and "
            "usd_per_million_output_tokens beside it"
        )
