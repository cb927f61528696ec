"""Does the chat page do what a person relies on: miss nothing, lose nothing, and say how things stand?"""

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
