"""The scoring server: what runs a user's `init()` and `run()` behind HTTP, inside the user's own image.

It keeps the HTTP contract of Azure ML's inference server (routes, status codes, headers, variables), and
adds what that one lacks: a gate of exactly N requests inside `run()`, a body limit, an honest time-out and
a drain. It needs Python >= 3.9 and uvicorn, because it shares an environment with models of any age; the
other two lines of `requirements.txt` beside this file are what makes uvicorn fast, and may be missing. It
downloads nothing and knows nothing of Kubernetes or clouds.
"""
