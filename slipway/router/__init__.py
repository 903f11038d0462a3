"""The smart request router: HAProxy carries every request, Python only tells it what is true.

    feed -> discovery -> State -> config.render and plan -> control -> haproxy

Everything that decides is a pure function of frozen values (`discovery`, `config`, `plan`); sockets,
files and processes are in `haproxy`, `hold`, `admin` and `control`; how many replicas there are is up to
`scaling`. Started by `python -m slipway.router`.
"""
