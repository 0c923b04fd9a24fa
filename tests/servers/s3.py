"""A small S3 client of the standard library: one signed or unsigned request at a time.

It shares no line with the library under test, so it can look at a store from outside and read
objects as any stranger would.
"""

import datetime
import hashlib
import hmac
import http.client
import os
import ssl
import urllib.parse
import xml.etree.ElementTree as ElementTree


# Where temporary credentials stand in the answer to AssumeRole.
TEMPORARY = {"access_key": "AccessKeyId", "secret_key": "SecretAccessKey", "session_token": "SessionToken"}


class Refused(Exception):
    """The store answered with an error."""

    def __init__(self, what, status, body):
        super().__init__(f"{what}: {status} {body[:500]!r}")
        self.status = status


class S3:
    """One endpoint. Without keys its requests are anonymous."""

    def __init__(self, endpoint, access_key=None, secret_key=None, ca_file=None, region="us-east-1"):
        self.endpoint, self.access_key, self.secret_key, self.region = endpoint, access_key, secret_key, region
        self.url = urllib.parse.urlsplit(endpoint)
        self.tls = ssl.create_default_context(cafile=ca_file) if self.url.scheme == "https" else None

    def request(self, method, path, query=None, headers=None, body=b"", wanted=(200, 204, 206), service="s3"):
        """Sends one request on a connection of its own; gives status, headers (lower case) and body."""
        path = urllib.parse.quote(path, safe="/-._~")
        pairs = sorted((query or {}).items())
        query = "&".join(f"{urllib.parse.quote(k, safe='-._~')}={urllib.parse.quote(v, safe='-._~')}" for k, v in pairs)
        headers = {"host": self.url.netloc, **(headers or {})}
        if self.access_key:
            headers = self._signed(method, path, query, headers, service, body)
        if self.tls:
            connection = http.client.HTTPSConnection(self.url.netloc, timeout=30, context=self.tls)
        else:
            connection = http.client.HTTPConnection(self.url.netloc, timeout=30)
        try:
            connection.request(method, path + ("?" + query if query else ""), body, headers)
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        if answer.status not in wanted:
            raise Refused(f"{method} {path}", answer.status, data)
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, data

    def _signed(self, method, path, query, headers, service, body):
        """Signature Version 4; S3 takes unsigned payloads, other services do not."""
        payload = "UNSIGNED-PAYLOAD" if service == "s3" else hashlib.sha256(body).hexdigest()
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        headers = {**headers, "x-amz-date": now, "x-amz-content-sha256": payload}
        names = sorted(headers)
        lines = "".join(f"{name}:{headers[name]}\n" for name in names)
        request = "\n".join([method, path, query, lines, ";".join(names), payload])
        scope = f"{now[:8]}/{self.region}/{service}/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(request.encode()).hexdigest()])
        key = b"AWS4" + self.secret_key.encode()
        for word in [*scope.split("/"), text]:
            key = hmac.new(key, word.encode(), hashlib.sha256).digest()
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.access_key}/{scope}, "
            f"SignedHeaders={';'.join(names)}, Signature={key.hex()}"
        )
        return headers

    def make_bucket(self, bucket):
        self.request("PUT", f"/{bucket}")

    def put(self, bucket, key, body, headers=None):
        self.request("PUT", f"/{bucket}/{key}", headers=headers, body=body)

    def get(self, bucket, key, byte_range=None):
        """The bytes of an object, or of a range as HTTP writes it, such as "0-99" or "-64"."""
        headers = {"range": f"bytes={byte_range}"} if byte_range else {}
        return self.request("GET", f"/{bucket}/{key}", headers=headers)[2]

    def head(self, bucket, key):
        """The headers of an object."""
        return self.request("HEAD", f"/{bucket}/{key}")[1]

    def keys(self, bucket, prefix=""):
        """All keys that begin with `prefix`."""
        keys, query = [], {"list-type": "2", "prefix": prefix}
        while True:
            page = ElementTree.fromstring(self.request("GET", f"/{bucket}", query)[2])
            keys += [key.text for key in page.findall("{*}Contents/{*}Key")]
            token = page.findtext("{*}NextContinuationToken")
            if not token:
                return keys
            query["continuation-token"] = token

    def uploads(self, bucket):
        """The keys of the uploads that were begun and not ended."""
        page = ElementTree.fromstring(self.request("GET", f"/{bucket}", {"uploads": ""})[2])
        return [key.text for key in page.findall("{*}Upload/{*}Key")]

    def allow_anonymous_reads(self, bucket):
        """Whoever knows a key may read it, and nobody may list."""
        policy = (
            '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["*"]},'
            f'"Action":["s3:GetObject"],"Resource":["arn:aws:s3:::{bucket}/*"]}}]}}'
        )
        self.request("PUT", f"/{bucket}", {"policy": ""}, body=policy.encode())

    def keep_versions(self, bucket):
        """From now on nothing that is deleted or overwritten goes."""
        body = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
        self.request("PUT", f"/{bucket}", {"versioning": ""}, body=body)

    def versions(self, bucket):
        """The keys of all versions and delete markers."""
        page = ElementTree.fromstring(self.request("GET", f"/{bucket}", {"versions": ""})[2])
        return [key.text for kind in ["Version", "DeleteMarker"] for key in page.findall(f"{{*}}{kind}/{{*}}Key")]

    def assume_role(self, policy):
        """Temporary credentials of this user that allow no more than `policy`."""
        form = {"Action": "AssumeRole", "Version": "2011-06-15", "DurationSeconds": "3600", "Policy": policy}
        headers = {"content-type": "application/x-www-form-urlencoded"}
        body = urllib.parse.urlencode(form).encode()
        answer = ElementTree.fromstring(self.request("POST", "/", headers=headers, body=body, service="sts")[2])
        found = {name: answer.findtext(f".//{{*}}{tag}") for name, tag in TEMPORARY.items()}
        assert all(found.values()), found.keys()
        return found

    def environment(self):
        """What the standard tools, and seglift, read from the environment."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": self.region,
        }


def clean_environment():
    """This process's environment without anybody's credentials and settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SEGLIFT_"))}
