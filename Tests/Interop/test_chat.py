"""Does the chat page do what a person relies on: miss nothing, lose nothing, and say how things stand?"""

import json

import pytest

from eventually import eventually
from pages import ChatPage
from raw_http import ask


def post(node, text, room="lobby"):
    assert ask(node.web_port, "POST", f"/v1/publish/chat/{room}?qos=1", text.encode()).status == 200


def states(page):
    return {said.text: said.state for said in page.said()}


def test_who_was_away_finds_what_was_said_meanwhile_and_what_he_knew(drawbridge, tmp_path):
    with ChatPage(drawbridge, "lobby", "ann", tmp_path) as ann:
        ann.join().wait_until_live()
        post(drawbridge, "said before")
        ann.wait_for(["said before"])
    for number in range(10):
        post(drawbridge, f"said meanwhile {number}")
    drawbridge.kill()
    drawbridge.restart()
    with ChatPage(drawbridge, "lobby", "ann", tmp_path) as ann:
        missed = [f"said meanwhile {number}" for number in range(10)]
        ann.join().wait_until_live()
        assert ann.wait_for(["said before", *missed]) == ["said before", *missed]


def test_what_is_written_while_the_broker_is_gone_is_marked_and_sent_once_when_it_is_back(drawbridge, tmp_path):
    with ChatPage(drawbridge, "lobby", "ann", tmp_path) as ann:
        ann.join().wait_until_live()
        ann.say("first")
        eventually(lambda: f"it is stored: {states(ann)}", lambda: states(ann).get("first") == "stored")
        drawbridge.kill()
        eventually(lambda: f"the page notices; it says {ann.state()}", lambda: ann.state() != "online")
        for number in range(5):
            ann.say(f"offline {number}")
        offline = [f"offline {number}" for number in range(5)]
        assert [states(ann)[text] for text in offline] == ["sending"] * 5
        drawbridge.restart()
        ann.wait_until_live()
        eventually(
            lambda: f"all is stored: {states(ann)}", lambda: [states(ann)[text] for text in offline] == ["stored"] * 5
        )
        assert ann.texts() == ["first", *offline], "each is shown once, in the order in which it was written"


def test_rooms_are_apart_and_text_is_only_text(drawbridge, tmp_path):
    with ChatPage(drawbridge, "lobby", "ann", tmp_path) as ann, ChatPage(drawbridge, "cellar", "ben", tmp_path) as ben:
        ann.join().wait_until_live()
        ben.join().wait_until_live()
        evil = "<img src=x onerror=\"document.title='owned'\"><b>bold</b>"
        post(drawbridge, evil, "lobby")
        post(drawbridge, '{"id":"x","name":"<i>eve</i>","text":"<script>1</script>","at":"now"}', "lobby")
        post(drawbridge, "for the cellar", "cellar")
        ben.wait_for(["for the cellar"])
        assert ann.wait_for([evil, "<script>1</script>"]) == [evil, "<script>1</script>"]
        assert ben.texts() == ["for the cellar"]
        assert ann.driver.title != "owned" and not ann.driver.execute_script("return document.querySelector('li b, li i')")
        severe = [entry for entry in ann.console() if "SEVERE" in entry]
        assert not severe, severe


def say_and_wait(page, text):
    """The PUBACK comes after the broker has handled what the page sent before, its SUBSCRIBE for one."""
    page.say(text)
    eventually(lambda: f"{text!r} is stored: {states(page)}", lambda: states(page).get(text) == "stored")


# The broker gets the UNSUBSCRIBE, and the line drops before the page hears of it.
LOSE_THE_UNSUBACK = """
const { send } = WebSocket.prototype;
WebSocket.prototype.send = function (bytes) {
    send.call(this, bytes);
    if (bytes[0] >> 4 !== 10) return;
    WebSocket.prototype.send = send;
    this.onmessage = null;
    this.close();
};
"""


@pytest.mark.parametrize("before", ["", LOSE_THE_UNSUBACK], ids=["UNSUBACK comes late", "UNSUBACK is lost"])
def test_a_room_that_was_left_and_entered_again_is_not_silent(drawbridge, tmp_path, before):
    with ChatPage(drawbridge, "lobby", "ann", tmp_path) as ann:
        ann.join().wait_until_live()
        say_and_wait(ann, "I leave")
        # In one script, so that no answer can come in between.
        click = "document.querySelector('#leave').click(); document.querySelector('#join').click()"
        ann.driver.execute_script(before + click)
        say_and_wait(ann, "I am back")
        post(drawbridge, "welcome back")
        ann.wait_for(["welcome back"])


def test_a_room_may_be_called_like_what_every_object_has(drawbridge, tmp_path):
    with ChatPage(drawbridge, "constructor", "ann", tmp_path) as ann:
        ann.join().wait_until_live()
        say_and_wait(ann, "here")
        post(drawbridge, "welcome", "constructor")
        ann.wait_for(["welcome"])


# Of some other page of the same origin, down to the last character.
FILL_THE_STORAGE = """
localStorage.setItem('other', '');
for (let size = 1 << 22; size >= 1;) {
    try { localStorage.setItem('other', localStorage.getItem('other') + 'x'.repeat(size)); } catch { size >>= 1; }
}
"""


def kept(page, room="lobby"):
    """The texts of a room that the browser has stored."""
    history = page.driver.execute_script(f"return localStorage.getItem('drawbridge.chat.history.{room}')")
    return [message["text"] for message in json.loads(history)]


def hint(page):
    return page.driver.execute_script("return document.querySelector('#hint-text').textContent")


def test_what_finds_no_room_in_the_browser_stays_with_the_broker_and_the_page_says_so(drawbridge, tmp_path):
    with ChatPage(drawbridge, "lobby", "ann", tmp_path) as ann:
        ann.join().wait_until_live()
        say_and_wait(ann, "early")
        ann.driver.execute_script(FILL_THE_STORAGE)
        post(drawbridge, "a message of others")
        eventually(lambda: f"the page says it: {hint(ann)!r}", lambda: "storage of this browser is full" in hint(ann))
        ann.say("a message of mine")
        eventually(lambda: f"it is refused: {states(ann)}", lambda: states(ann)["a message of mine"] == "failed")
        ann.driver.refresh()
        ann.wait_for(["a message of others"])
        ann.driver.execute_script("localStorage.removeItem('other')")
        eventually(lambda: f"there is room again: {hint(ann)!r}", lambda: "Enter sends" in hint(ann), 60)
        say_and_wait(ann, "late")
        assert kept(ann)[-2:] == ["a message of others", "late"]


def test_the_oldest_messages_make_room_in_a_full_storage(drawbridge, tmp_path):
    with ChatPage(drawbridge, "lobby", "ann", tmp_path) as ann:
        ann.join().wait_until_live()
        say_and_wait(ann, "here")
        ann.driver.execute_script(
            FILL_THE_STORAGE + "localStorage.setItem('other', localStorage.getItem('other').slice(300_000))"
        )
        long = [f"{number} " + "x" * 90_000 for number in range(6)]
        for text in long:
            post(drawbridge, text)
        ann.wait_for(long)
        assert hint(ann).startswith("Enter sends")
        assert kept(ann)[-1] == long[-1] and set(kept(ann)) < {"here", *long}


def test_a_text_that_no_person_wrote_is_cut_lest_it_fill_the_storage_alone(drawbridge, tmp_path):
    with ChatPage(drawbridge, "lobby", "ann", tmp_path) as ann:
        ann.join().wait_until_live()
        say_and_wait(ann, "here")
        post(drawbridge, "\1" * 900_000)  # As JSON it would be six times as long, and never fit.
        post(drawbridge, "afterwards")
        ann.wait_for(["\1" * 100_000 + " … (cut)", "afterwards"])
        assert kept(ann)[-1] == "afterwards"
