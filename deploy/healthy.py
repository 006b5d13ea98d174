"""`healthy.py PORT PATH`: exit status 0 when this container answers 200 there. The images have no curl.

With http.client, because urllib would send the request to a proxy that the environment names.
"""

import http.client
import sys


def problem(port: int, path: str) -> str | None:
    """What is wrong, None when nothing is."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=4)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return None if answer.status == http.HTTPStatus.OK else f"{answer.status} {answer.read(500).decode()}"
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(problem(int(sys.argv[1]), sys.argv[2]))
