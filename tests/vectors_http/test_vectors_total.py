"""Nothing is left out silently."""
import sources
import table as tables
import test_vectors_aes
import test_vectors_ec
import test_vectors_hmac
import test_vectors_import
import test_vectors_rsa

MODULES = (test_vectors_aes, test_vectors_ec, test_vectors_hmac, test_vectors_import, test_vectors_rsa)


def test_every_recorded_file_is_run():
    files = [f for m in MODULES for f in m.FILES]
    assert len(files) == len(set(files))
    assert set(files) == set(tables.recorded())


def test_no_vector_vanishes():
    """Each of Wycheproof's files on an algorithm of the service is in the list, in the form that the service takes."""
    run = {f.removeprefix("wycheproof ") for m in MODULES for f in m.FILES}
    curves = tuple(f"ecdsa_{c}_" for c in test_vectors_ec.WYCHEPROOF_CURVE)
    there = {n for n in sources.wycheproof_names() if n.startswith(("aes_gcm", "aes_wrap", "aes_kwp", "aes_cbc_", "hmac_", "rsa_"))
             or n.startswith(curves) and n.endswith("_p1363")}
    assert there - run == {"aes_gcm_siv"}
