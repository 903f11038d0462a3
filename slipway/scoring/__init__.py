"""The scoring server: what runs a user's `init()` and `run()` behind HTTP, inside the user's own image.

It keeps the HTTP contract of Azure ML's inference server (routes, status codes, headers, variables), and
adds what that one lacks: a gate of exactly N requests inside `run()`, a body limit, an honest time-out and
a drain. It needs Python >= 3.9 and the one line of `requirements.txt` beside this file, because it shares
an environment with models of any age. It downloads nothing and knows nothing of Kubernetes or clouds.
"""
