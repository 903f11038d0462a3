"""Kubernetes objects as processes on this machine: the controllers and the kubelet of a laptop.

`up(state, objects, images)` and `down(state)` are the whole interface; `realise` makes a LocalImage of a
recipe. Objects may come from anywhere: nothing here knows of Pulumi, settings or what Slipway deploys.
"""
