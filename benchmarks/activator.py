"""What Knative's activator reads from an API server: Knative's configuration, and a Revision with a replica.

Nothing of Knative but the activator runs: who would make these objects from a user's is not there, nor is the
autoscaler that it reports to, which costs it an error now and then.
"""

import contextlib
from collections.abc import Generator, Mapping

from benchmarks.processes import cores, pinned
from benchmarks.synthetic import api_server

DEFINITION = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: revisions.serving.knative.dev}
spec:
  group: serving.knative.dev
  names: {kind: Revision, plural: revisions}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
"""
OBJECTS = """
apiVersion: v1
kind: Namespace
metadata: {{name: knative-serving}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: config-logging, namespace: knative-serving}}
data: {{loglevel.activator: error}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: config-observability, namespace: knative-serving}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: config-tracing, namespace: knative-serving}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: config-network, namespace: knative-serving}}
data: {{mesh-compatibility-mode: disabled}}  # else it asks a replica first whether it is a queue-proxy
---
apiVersion: serving.knative.dev/v1
kind: Revision
metadata: {{name: diabetes-1, namespace: default}}
spec:
  containerConcurrency: {concurrency}
  timeoutSeconds: 60
  containers: [{{name: model, image: model}}]
---
apiVersion: v1
kind: Endpoints
metadata:
  name: diabetes-1-private
  namespace: default
  labels:
    networking.internal.knative.dev/serviceType: Private
    serving.knative.dev/revision: diabetes-1
    serving.knative.dev/revisionUID: diabetes-1
subsets: [{{addresses: [{{ip: {address}}}], ports: [{{name: http, port: {replica}}}]}}]
"""


@contextlib.contextmanager
def revision(replica: int, concurrency: int) -> Generator[Mapping[str, object]]:
    """Give the kubeconfig of an API server that has a Revision, whose replica has a port of this machine.

    It stays on the clients' cores, of which it takes about 2 % of one at rest.
    """
    with api_server(*pinned(cores()[2])) as server:
        server.run("apply", "--filename=-", stdin=DEFINITION)
        server.run("wait", "--for=condition=Established", "crd/revisions.serving.knative.dev")
        address = server.machine.outside
        objects = OBJECTS.format(address=address, replica=replica, concurrency=concurrency)
        server.run("apply", "--filename=-", stdin=objects)
        yield {"kubeconfig": server.kubeconfig}
