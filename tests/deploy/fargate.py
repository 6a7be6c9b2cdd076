"""What Fargate does with a task: gives it its environment, and says in which task it is.

The tasks are moto's, which starts nothing; what a container would run is run here as a process.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.deploy.aws import Aws
from tests.graph.command import ROOT


@dataclass(frozen=True)
class Fargate:
    aws: Aws
    database_url: str
    """Of the database here that takes the place of the one on RDS."""
    folder: Path

    def environment(self, task: dict[str, Any], name: str) -> dict[str, str]:
        """Of a container of the task, with the rights of the task's role."""
        described = self.aws.client("ecs").describe_task_definition(
            taskDefinition=task["taskDefinitionArn"]
        )["taskDefinition"]
        container = self.aws.container(task["taskDefinitionArn"], name)
        found = {one["name"]: one["value"] for one in container["environment"]}
        secrets = self.aws.client("secretsmanager", self.aws.keys[described["executionRoleArn"]])
        for one in container["secrets"]:
            value = secrets.get_secret_value(SecretId=one["valueFrom"])["SecretString"]
            assert ".rds.amazonaws.com:5432/scalecast" in value
            found[one["name"]] = self.database_url
        found = {key: value.replace("/opt/scalecast", str(ROOT)) for key, value in found.items()}
        environment = self.aws.environment(self.aws.keys[described["taskRoleArn"]]) | found
        # As deploy/pipeline.Dockerfile has it.
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        home = str(self.folder / task["taskArn"].rpartition("/")[2])
        return environment | {"PATH": path, "SCALECAST_HOME": home}

    def run(self, task: dict[str, Any], name: str) -> "subprocess.CompletedProcess[str]":
        """The container to its end: its entry point, and the command or what overrides it."""
        container = self.aws.container(task["taskDefinitionArn"], name)
        overrides = task["overrides"].get("containerOverrides", [])
        (command,) = [one["command"] for one in overrides if one["name"] == name] or [
            container["command"]
        ]
        return subprocess.run(
            [*container["entryPoint"], *command],
            env=self.environment(task, name),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    @contextmanager
    def metadata(self, task: dict[str, Any]) -> Iterator[str]:
        """The endpoint that ``ECS_CONTAINER_METADATA_URI_V4`` names in a container of the task."""
        body = {"Cluster": task["clusterArn"], "TaskARN": task["taskArn"]}

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200 if self.path == "/v4/container/task" else 404)
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v4/container"
        server.shutdown()
        server.server_close()
