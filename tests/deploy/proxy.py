"""nginx's configuration out of deploy/nginx, for a folder and ports of this machine."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from tests.deploy.programs import program
from tests.graph.command import ROOT

PROXY_PORTS = {"forecasts": 8080, "operators": 8081, "onlookers": 8082, "healthy": 8090}
"""What the template listens on."""


def proxy_command(
    folder: Path,
    variables: Mapping[str, str],
    listening: Mapping[str, int],
    ports: Mapping[int, int],
) -> list[str]:
    """Write the configuration into the folder, and return the command that runs nginx with it.

    ``variables`` are the container's; ``listening`` has the ports here by their names in
    ``PROXY_PORTS``, ``ports`` those of upstreams by what the template says.
    """
    folder.mkdir(exist_ok=True)
    (folder / "conf.d").mkdir(exist_ok=True)
    for template in (ROOT / "deploy" / "nginx").glob("*.template"):
        text = template.read_text()
        for name, value in variables.items():
            text = text.replace(f"${{{name}}}", value)
        for inside in ("conf.d", "tls"):
            text = text.replace(f"/etc/nginx/{inside}/", f"{folder}/{inside}/")
        for server, port in PROXY_PORTS.items():
            here = f"listen 127.0.0.1:{listening[server]}"
            text = re.sub(rf"listen (127\.0\.0\.1:)?{port}\b", here, text)
        for there, port in ports.items():
            text = re.sub(rf"(http://[\w-]+):{there}\b", rf"\1:{port}", text)
        (folder / "conf.d" / template.name.removesuffix(".template")).write_text(text)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        ("user root root;\n" if os.geteuid() == 0 else "")
        + f"daemon off;\npid {folder}/pid;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}"
        + f"include {folder}/conf.d/*.conf;\n}}\n"
    )
    return [program("nginx"), "-e", "stderr", "-c", str(folder / "nginx.conf")]
