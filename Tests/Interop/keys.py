"""What a client needs to come in at a broker: nothing, or an authority to trust, a user name and a password."""

import ssl
import subprocess


class NoKeys:
    """Everybody may come in, and nothing is encrypted."""

    mosquitto = []
    curl = []
    authority = None
    password = None

    def paho(self, client):
        pass

    def browser(self, home):
        """The environment of a Chromium."""
        return {}

    @property
    def context(self):
        return None


class Authority(NoKeys):
    """A broker whose certificate `authority` vouches for, and who asks nobody for a name."""

    def __init__(self, authority):
        self.authority = authority

    @property
    def mosquitto(self):
        return ["--cafile", self.authority]

    @property
    def curl(self):
        return ["--cacert", self.authority]

    def paho(self, client):
        client.tls_set(self.authority)

    @property
    def context(self):
        return ssl.create_default_context(cafile=self.authority)


class Keys(Authority):
    """`user` of such a broker. In the stories each password is its user's name."""

    def __init__(self, authority, user):
        super().__init__(authority)
        self.user = self.password = user

    def of(self, user):
        return Keys(self.authority, user)

    @property
    def mosquitto(self):
        return super().mosquitto + ["-u", self.user, "-P", self.password]

    @property
    def curl(self):
        return super().curl + ["-u", f"{self.user}:{self.password}"]

    def paho(self, client):
        super().paho(client)
        client.username_pw_set(self.user, self.password)

    def browser(self, home):
        """Chromium on Linux trusts the authorities of the person's own NSS database."""
        database = home / ".pki" / "nssdb"
        database.mkdir(parents=True)
        for arguments in (["-N", "--empty-password"], ["-A", "-t", "C,,", "-n", "site", "-i", self.authority]):
            subprocess.run(["certutil", "-d", f"sql:{database}", *arguments], check=True, timeout=60)
        return {"HOME": str(home)}
