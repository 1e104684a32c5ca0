"""Keys that tests import: made for them, and secret to nobody."""
import dataclasses


@dataclasses.dataclass(frozen=True)
class Jwk:
    name: str
    kty: str
    jwk: dict
    public: dict          # what the pool shows of it
    crv: str = None
    bits: int = None
    is_hmac: bool = False  # an oct key of a size that is none of AES


RSA = {
    "n": ("q5FRYy4mNQd-Y7yI0jTD6NQemqvNJiQXA4yl0anhON2P7WwzckeeMsUt0PqaE6YM4WZSr46M5Aywm3sHatp9BrKiboDpi7p6k76T"
          "IAt9_spaQAzr_ysl1QWF_lBL1QgVuiLwXlhqJDaIIc6QCstofHu9U5_gU8dX0eDNUzIfo1AR9NoBwnOnIFppd3LuvIvxLnWwC5z0"
          "ThqyDB0RZpHneS-w_rzhGhWfb4phKdCN_H2e7KodCmYk-06YfmVn_aVmSLVbbHzx1pEIfgXnvTkmJ5CaGo6A_QJRvMZAY-GdebOX"
          "UfpIu6iHbN2ajJLJdN90fazyiCL4PHgzqUsX_Xm56Q"),
    "e": "AQAB",
    "d": ("ZH70xLsJYHr3mV0QassgggcEFMQZRAP3Gfo9JxLbK64_fWpjz4FSerCQ1FiCLdGtc_0qWqsxCpKS4IAknfKL7JqfLab4PY839_Xj"
          "w9XgMd7KLS7Y32Sg_qaPEItVVGgWgIjILEzMaztXgkdxGFX2XjpLoHYRWY1H71bKYvzWXN3OMBDGBcnfMEcajPTJ89R0fiR_gESD"
          "AZvaN7reevsFMtwKIxRyN_wj8y3LKXfBojSqtLj_rR3V5iNFHkQOLChaSbUnstLDP35xAIEqWLEy2MShXPqRWgGmlrmacs25FSy-"
          "6eofpl6a52qj9z92WxQpw5wAgi_Jli0ZjNeOrJE7"),
    "p": ("3zpK482j1kAtNnrNRpMokKM85XeCSnkehn9CkWw3gSyfsDfhM5t0mTmh0T9_9twU2E6MHaVXNX3aF4SlzBX5de_vN0GdhpRpan99"
          "knSjrjiVqNncAIkke75IW3KSJ5y-JBr0ILdz-PUkqAv8B29QUe_pNno35HuZ8gnZxAgYytc"),
    "q": ("xMFz8h4Q8lwoWscoEJxrmvftTY3AyBf679y3vhYUe0FcTZse-C27pgVoL2uxL4N9mk3V3m63dgVMo8TDvF6AIT_qtdOIazbaULZh"
          "P2wOmgK_TsS9e8adqEfhSA0YOjpoW2VjNi9I1xlnAQ8YtEPNGsBv8E9mf3XQb5AtZnoryT8"),
}
EC = {
    "crv": "P-256",
    "x": "VTizhhmSTVxPVX9Jy6tsdA_A8nqCTEyK_MWyKA0xOls",
    "y": "488-UKCSY2b4OaBOyL_vup78yCwqZufWtcqLy-ynCrg",
    "d": "bc30sMeUd6JRHzgkOzfVEHfiuP_33icOZ3w0jlA810c",
}
JWKS = [
    Jwk("oct-256", "oct", {"k": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"}, {}, bits=256),
    Jwk("oct-128", "oct", {"k": "AAECAwQFBgcICQoLDA0ODw"}, {}, bits=128),
    Jwk("hmac", "oct", {"k": "AAECAwQFBgcICQ"}, {}, bits=80, is_hmac=True),
    Jwk("ec", "EC", EC, {k: EC[k] for k in ("crv", "x", "y")}, crv="P-256"),
    Jwk("rsa", "RSA", RSA, {k: RSA[k] for k in ("n", "e")}, bits=2048),
]
