"""Are the CONNECT packets of clients that do not run here understood, byte for byte as their sources make them?

Each is followed by what its client does next: SUBSCRIBE, a publish that comes back, and PINGREQ.
"""

import pytest

from wire import CONNACK, PINGREQ, PINGRESP, PUBACK, PUBLISH, Wire, packet_id_of

# Name: version and bytes; what stands behind the bytes of a line is comment.
CONNECTS = {
    # CocoaMQTT: clean session and 60 s unless told otherwise. Its ids are a word and the process or a random number,
    # often longer than the 23 bytes that every server has to take.
    "CocoaMQTT, as it comes": (
        4,
        """
        10 27                                     CONNECT, 39 bytes
        00 04 4d 51 54 54 04 02 00 3c             "MQTT", level 4, clean session, 60 s
        00 1b 43 6f 63 6f 61 4d 51 54 54 2d 38 36 34 32 30 39 37 35 33 31 30 38 36 34 32 30 39
                                                  "CocoaMQTT-86420975310864209", 27 bytes
        """,
    ),
    # Its example: will, user name and password. User and password are sent although nobody asks for them here.
    "CocoaMQTT, a will and a user": (
        4,
        """
        10 36                                     CONNECT, 54 bytes
        00 04 4d 51 54 54 04 ce 00 3c             user, password, will at QoS 1, clean session; 60 s
        00 0e 43 6f 63 6f 61 4d 51 54 54 2d 31 32 33 34          "CocoaMQTT-1234"
        00 05 2f 77 69 6c 6c                      will topic "/will", with a level without a name in front
        00 06 64 69 65 6f 75 74                   "dieout"
        00 04 74 65 73 74                         user "test"
        00 05 70 75 62 6c 69                      password "publi"
        """,
    ),
    # Will without a payload: its length is there and zero.
    "CocoaMQTT, a will that says nothing": (
        4,
        """
        10 1b                                     CONNECT, 27 bytes
        00 04 4d 51 54 54 04 26 00 3c             will, retained, at QoS 0; clean session
        00 07 43 6f 63 6f 61 2d 31                "Cocoa-1"
        00 04 77 69 6c 6c                         "will"
        00 00                                     nothing
        """,
    ),
    # CocoaMQTT 5: always a block of properties, and one for the will.
    "CocoaMQTT5, session expiry and Receive Maximum": (
        5,
        """
        10 2f                                     CONNECT, 47 bytes
        00 04 4d 51 54 54 05 06 00 3c             level 5, will at QoS 0, clean start
        08                                        properties, 8 bytes
        11 00 00 00 00                            Session Expiry Interval 0
        21 00 ff                                  Receive Maximum 255
        00 08 43 6f 63 6f 61 2d 35 35             "Cocoa-55"
        05                                        properties of the will, 5 bytes
        18 00 00 00 00                            Will Delay Interval 0
        00 04 77 69 6c 6c                         "will"
        00 04 67 6f 6e 65                         "gone"
        """,
    ),
    # QMQTT: without a clean session, 300 s, and an id that is a UUID of Qt in braces: 38 bytes.
    "QMQTT, as it comes": (
        4,
        """
        10 32                                     CONNECT, 50 bytes
        00 04 4d 51 54 54 04 00 01 2c             no flag at all, 300 s
        00 26 7b 36 37 63 38 37 37 30 62 2d 34 34 66 31 2d 34 31 30 61 2d 61 62 39 61
              2d 66 39 62 35 34 34 36 66 31 33 65 65 7d
                                                  "{67c8770b-44f1-410a-ab9a-f9b5446f13ee}"
        """,
    ),
    # Older QMQTT speaks 3.1, where an id longer than 23 bytes was against the rules; it sent one all the same.
    "QMQTT of 2013, 3.1": (
        3,
        """
        10 34                                     CONNECT, 52 bytes
        00 06 4d 51 49 73 64 70 03 02 01 2c       "MQIsdp", level 3, clean session, 300 s
        00 26 7b 36 37 63 38 37 37 30 62 2d 34 34 66 31 2d 34 31 30 61 2d 61 62 39 61
              2d 66 39 62 35 34 34 36 66 31 33 65 65 7d
        """,
    ),
    # A user without a password: QMQTT leaves out what is empty.
    "QMQTT, a user alone and a retained will": (
        4,
        """
        10 28                                     CONNECT, 40 bytes
        00 04 4d 51 54 54 04 b4 01 2c             user, will retained at QoS 2, session kept
        00 05 71 6d 71 74 74                      "qmqtt"
        00 09 77 69 6c 6c 2f 71 74 2f 78          "will/qt/x"
        00 03 62 79 65                            "bye"
        00 05 61 64 6d 69 6e                      user "admin"
        """,
    ),
    # MQTT-Client-Framework: 3.1.1 by default, an id of "MQTTClient" and a random number cut at 23 bytes.
    "MQTT-Client-Framework, as it comes": (
        4,
        """
        10 21                                     CONNECT, 33 bytes
        00 04 4d 51 54 54 04 02 00 3c             clean session, 60 s
        00 15 4d 51 54 54 43 6c 69 65 6e 74 31 38 30 34 32 38 39 33 38 33 31
                                                  "MQTTClient18042893831"
        """,
    ),
    # Apps that track people use 3.1 with a kept session, a will that is retained, and a long keep-alive.
    "MQTT-Client-Framework, 3.1, a retained will": (
        3,
        """
        10 48                                     CONNECT, 72 bytes
        00 06 4d 51 49 73 64 70 03 f4 0e 10       user, password, will retained at QoS 2, kept; 3600 s
        00 0b 6a 61 6e 65 2d 69 50 68 6f 6e 65    "jane-iPhone"
        00 15 6f 77 6e 74 72 61 63 6b 73 2f 6a 61 6e 65 2f 69 50 68 6f 6e 65       "owntracks/jane/iPhone"
        00 0a 7b 22 74 22 3a 22 6c 77 22 7d       a will in JSON
        00 04 6a 61 6e 65                         "jane"
        00 04 73 65 73 61                         "sesa"
        """,
    ),
    # Its version 5 puts its properties into one order and leaves those of the will empty.
    "MQTT-Client-Framework, 5": (
        5,
        """
        10 22                                     CONNECT, 34 bytes
        00 04 4d 51 54 54 05 02 00 3c             level 5, clean start
        0a                                        properties, 10 bytes
        11 00 00 0e 10                            Session Expiry Interval 3600
        17 01                                     Request Problem Information
        21 00 05                                  Receive Maximum 5
        00 0b 4d 51 54 54 43 6c 69 65 6e 74 35    "MQTTClient5"
        """,
    ),
}


def bytes_of(listing):
    """The hexadecimal columns: two digits each, until something else stands there."""
    data = bytearray()
    for line in listing.splitlines():
        for word in line.split():
            if len(word) != 2 or any(digit not in "0123456789abcdef" for digit in word):
                break
            data.append(int(word, 16))
    return bytes(data)


@pytest.mark.parametrize("name", CONNECTS)
def test_a_connect_of_clients_that_people_have_is_accepted_and_works(drawbridge, name):
    version, listing = CONNECTS[name]
    data = bytes_of(listing)
    assert data[1] == len(data) - 2, f"the listing is wrong: {len(data) - 2} bytes follow, it says {data[1]}"
    with Wire(drawbridge.port, "", version, connect=False) as wire:
        wire.socket.sendall(data)
        answer = wire.read()
        assert answer.kind == CONNACK and answer.body[:2] == b"\0\0", answer
        # Before 5 a CONNACK is two bytes, and these clients read no more.
        assert version == 5 or len(answer.body) == 2
        wire.subscribe("room/+", 1, packet_id=1)
        wire.publish("room/1", "grüße".encode(), 1, packet_id=2)
        heard = {packet.kind: packet for packet in (wire.read(), wire.read())}
        assert packet_id_of(heard[PUBACK]) == 2
        publication = wire.publication(heard[PUBLISH])
        assert publication[:3] == ("room/1", "grüße".encode(), 1)
        wire.answer(PUBACK, publication.packet_id)
        wire.send(PINGREQ)
        assert wire.read().kind == PINGRESP


def test_a_long_id_names_its_session_whole(drawbridge):
    """Two UUIDs of Qt are two clients, though their first 23 bytes are the same; and each finds its session again."""
    ids = ["{67c8770b-44f1-410a-ab9a-f9b5446f13ee}", "{67c8770b-44f1-410a-ab9a-000000000000}"]
    with Wire(drawbridge.port, ids[0], 4) as one, Wire(drawbridge.port, ids[1], 4) as other:
        for wire in (one, other):
            assert not wire.session_present
            wire.subscribe("a", 1)
            wire.disconnect()
    with Wire(drawbridge.port, ids[0], 4) as one, Wire(drawbridge.port, ids[1], 4) as other:
        assert one.session_present and other.session_present


def test_the_will_of_such_a_connect_is_published(drawbridge):
    with Wire(drawbridge.port, "heir", 4) as heir:
        heir.subscribe("#", 2)
        for name in ["QMQTT, a user alone and a retained will", "MQTT-Client-Framework, 3.1, a retained will"]:
            version, listing = CONNECTS[name]
            with Wire(drawbridge.port, "", version, connect=False) as wire:
                wire.socket.sendall(bytes_of(listing))
                assert wire.read().body == b"\0\0"
        wills = {}
        for _ in range(2):
            publication = heir.publication(heir.read())
            wills[publication.topic] = (publication.payload, publication.qos)
        assert wills == {"will/qt/x": (b"bye", 2), "owntracks/jane/iPhone": (b'{"t":"lw"}', 2)}
