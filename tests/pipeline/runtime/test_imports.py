import gc

import pytest

from pipeline.runtime.imports import collect_later


def test_garbage_is_collected_again_after_an_import_and_after_one_that_failed():
    with collect_later():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ImportError), collect_later():
        raise ImportError
    assert gc.isenabled()


def test_who_had_it_off_keeps_it_off():
    gc.disable()
    try:
        with collect_later():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
