"""What JSON Web Tokens and keys are written in."""

import base64


def base64url(data: bytes) -> str:
    """Encode bytes as RFC 7515, section 2, says."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
