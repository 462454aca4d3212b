"""Scenarios that an ordinary client, slixmpp, plays against a running doorway.

usage: slix.py SCENARIO CONFIG.json

CONFIG.json is the line that `doorway demo --json` prints, with "doorway"
(the program) added. Prints "ok" at the end; anything else is a failure.
"""
import asyncio
import json
import subprocess
import sys
import uuid

import slixmpp
from slixmpp.exceptions import IqError

LIMIT = 20  # seconds any single step may take


class Client(slixmpp.ClientXMPP):
    """One logged-in client that keeps what arrives in queues."""

    def __init__(self, cfg, user, mech, resource="slix"):
        super().__init__(user["jid"] + "/" + resource, user["password"], sasl_mech=mech)
        self.cfg = cfg
        self.ca_certs = cfg["ca"]
        for plugin in ("xep_0030", "xep_0184", "xep_0199", "xep_0203"):
            self.register_plugin(plugin)
        self["xep_0184"].auto_request = False
        if mech is not None:
            self.forget_channel_binding()
        self.auto_authorize = None
        self.auto_subscribe = False
        self.inbox, self.errors, self.receipts = asyncio.Queue(), asyncio.Queue(), asyncio.Queue()
        self.presences, self.failures = asyncio.Queue(), asyncio.Queue()
        self.started, self.refused = asyncio.Event(), asyncio.Event()
        self.add_event_handler("message", self.on_message)
        self.add_event_handler("message_error", self.errors.put_nowait)
        self.add_event_handler("receipt_received", self.receipts.put_nowait)
        self.add_event_handler("presence", self.presences.put_nowait)
        self.add_event_handler("session_start", lambda _: self.started.set())
        self.add_event_handler("failed_auth", lambda _: self.refused.set())

    def forget_channel_binding(self):
        """Make slixmpp say "n" in SCRAM's first message. This version knows
        only tls-unique, which TLS 1.3 does not have, and says "y" all the
        same, which RFC 5802 section 6 has a server with -PLUS refuse."""
        mechs = self["feature_mechanisms"]
        credentials = mechs.sasl_callback

        def without(required, optional):
            return dict(credentials(required, optional), channel_binding=None)
        mechs.sasl_callback = without

    def on_message(self, msg):
        if msg["type"] == "error":
            self.errors.put_nowait(msg)
        elif msg["body"]:
            self.inbox.put_nowait(msg)

    async def login(self, presence=True):
        host, port = self.cfg["c2s"].rsplit(":", 1)
        self.connect((host, int(port)), force_starttls=True, disable_starttls=False)
        await asyncio.wait_for(self.started.wait(), LIMIT)
        await self.get_roster()
        if presence:
            self.send_presence()
        return self

    async def logout(self):
        await self.disconnect(wait=2.0)

    def text(self, to, body, receipt=False):
        msg = self.make_message(mto=to, mbody=body, mtype="chat")
        msg["id"] = uuid.uuid4().hex
        if receipt:
            msg["request_receipt"] = True
        msg.send()
        return msg["id"]


async def get(queue, what, wanted=lambda _: True):
    """The first item that is wanted; others are passed over."""
    async def loop():
        while True:
            item = await queue.get()
            if wanted(item):
                return item
    try:
        return await asyncio.wait_for(loop(), LIMIT)
    except asyncio.TimeoutError:
        raise AssertionError("waited in vain for " + what)


def user(cfg, name):
    return next(u for u in cfg["users"] if u["jid"].startswith(name + "@"))


async def chat(cfg):
    # None: as slixmpp comes, which ends with PLAIN below TLS.
    for mech in ("SCRAM-SHA-256", "SCRAM-SHA-1", None):
        alice = await Client(cfg, user(cfg, "alice"), mech).login()
        bob = await Client(cfg, user(cfg, "bob"), mech).login()
        text = "Grüße, <bob> & Co \U0001F44B\U0001F3FD"
        alice.text(bob.boundjid.bare, text)
        msg = await get(bob.inbox, "alice's text")
        assert msg["body"] == text and msg["from"] == alice.boundjid.full, msg
        assert msg["to"] == bob.boundjid.bare, "a bare to must stay bare: %s" % msg["to"]
        msg.reply("right").send()
        back = await get(alice.inbox, "bob's answer")
        assert back["body"] == "right"
        assert await alice["xep_0199"].ping(cfg["domain"]) >= 0
        info = await alice["xep_0030"].get_info(jid=cfg["domain"])
        assert ("server", "im", None, "doorway") in info["disco_info"]["identities"] or any(
            i[0] == "server" and i[1] == "im" for i in info["disco_info"]["identities"]), info
        await alice.logout()
        await bob.logout()


async def wrong_password(cfg):
    liar = dict(user(cfg, "alice"), password="not this one")
    c = Client(cfg, liar, "SCRAM-SHA-256")
    host, port = cfg["c2s"].rsplit(":", 1)
    c.connect((host, int(port)), force_starttls=True)
    await asyncio.wait_for(c.refused.wait(), LIMIT)
    assert not c.started.is_set()
    await c.logout()


async def offline(cfg):
    alice = await Client(cfg, user(cfg, "alice"), "SCRAM-SHA-256").login()
    to = user(cfg, "carol")["jid"]
    for i in range(3):
        alice.text(to, "while you were out %d" % i)
    # A round trip: what was sent before it has been handled.
    await alice["xep_0199"].ping(cfg["domain"])
    carol = await Client(cfg, user(cfg, "carol"), "SCRAM-SHA-256").login()
    for i in range(3):
        msg = await get(carol.inbox, "offline message %d" % i)
        assert msg["body"] == "while you were out %d" % i, msg
        assert msg["delay"]["stamp"] is not None, "no delay stamp: %s" % msg
        assert str(msg["delay"]["from"]) == cfg["domain"], msg
    await carol.logout()
    await alice.logout()


async def roster(cfg):
    alice = await Client(cfg, user(cfg, "alice"), "SCRAM-SHA-256").login()
    bob = await Client(cfg, user(cfg, "bob"), "SCRAM-SHA-256").login()
    a, b = alice.boundjid.bare, bob.boundjid.bare

    async def items(c):
        # Without a version, so that the whole roster is sent.
        iq = await c.make_iq_get(queryxmlns="jabber:iq:roster").send()
        return {str(j): i for j, i in iq["roster"]["items"].items()}

    await alice.update_roster(b, name="Bobby", groups=["Work"])
    got = (await items(alice))[b]
    assert got["name"] == "Bobby" and list(got["groups"]) == ["Work"] and got["subscription"] == "none", got
    alice.send_presence_subscription(b, ptype="subscribe")
    await get(bob.presences, "alice's request", lambda p: p["type"] == "subscribe" and p["from"].bare == a)
    bob.send_presence_subscription(a, ptype="subscribed")
    await get(alice.presences, "bob's yes", lambda p: p["type"] == "subscribed")
    await get(alice.presences, "bob's presence", lambda p: p["type"] == "available" and p["from"].full == bob.boundjid.full)
    assert (await items(alice))[b]["subscription"] == "to"
    assert (await items(bob))[a]["subscription"] == "from"
    bob.send_presence(pshow="away", pstatus="lunch")
    await get(alice.presences, "bob away", lambda p: p["type"] == "away" and p["status"] == "lunch")
    # The other way round, asked while bob is the one who waits.
    bob.send_presence_subscription(a, ptype="subscribe")
    await get(alice.presences, "bob's request", lambda p: p["type"] == "subscribe")
    alice.send_presence_subscription(b, ptype="subscribed")
    await get(bob.presences, "alice's presence", lambda p: p["type"] == "available" and p["from"].bare == a)
    assert (await items(alice))[b]["subscription"] == "both"
    await bob.logout()
    await get(alice.presences, "bob gone", lambda p: p["type"] == "unavailable" and p["from"].bare == b)
    # Removal undoes both sides.
    await alice.del_roster_item(b)
    assert b not in await items(alice)
    bob = await Client(cfg, user(cfg, "bob"), "SCRAM-SHA-256").login()
    left = (await items(bob)).get(a)
    assert left is None or left["subscription"] == "none", left
    try:
        await alice.del_roster_item("nobody@" + cfg["domain"])
        raise AssertionError("removing an absent contact succeeded")
    except IqError as e:
        assert e.condition == "item-not-found", e.condition
    await alice.logout()
    await bob.logout()


def phone(cfg, *args):
    out = subprocess.run([cfg["doorway"], "phone", args[0], "--dir", cfg["dir"], *args[1:]],
                         check=True, capture_output=True, text=True).stdout
    return out


async def sms(cfg):
    alice = await Client(cfg, user(cfg, "alice"), "SCRAM-SHA-256").login()
    number = cfg["phones"][0]
    jid = number + "@" + cfg["sms_domain"]
    info = await alice["xep_0030"].get_info(jid=cfg["sms_domain"])
    assert any(i[0] == "gateway" and i[1] == "sms" for i in info["disco_info"]["identities"]), info
    assert "jabber:iq:gateway" in info["disco_info"]["features"], info
    listed = await alice["xep_0030"].get_items(jid=cfg["domain"])
    assert cfg["sms_domain"] in [str(i[0]) for i in listed["disco_items"]["items"]], listed

    iq = alice.make_iq_get(queryxmlns="jabber:iq:gateway", ito=cfg["sms_domain"])
    assert "<prompt>" in str(await iq.send())
    iq = alice.make_iq_set(ito=cfg["sms_domain"])
    from xml.etree import ElementTree as ET
    q = ET.Element("{jabber:iq:gateway}query")
    ET.SubElement(q, "{jabber:iq:gateway}prompt").text = "0155 501-01".replace("501-01", "50101")
    iq.append(q)
    answer = str(await iq.send())
    assert "<jid>+4915550101@" in answer, answer

    mid = alice.text(jid, "Pump 3 is down \U0001F6A8", receipt=True)
    got = await get(alice.receipts, "the delivery receipt", lambda m: m["receipt"] == mid)
    assert got["from"].bare == jid, got
    log = phone(cfg, "log", number)
    assert "Pump 3 is down \U0001F6A8" in log, log

    phone(cfg, "send", number, "On my way, 10 min")
    msg = await get(alice.inbox, "the phone's answer")
    assert msg["body"] == "On my way, 10 min" and msg["from"].bare == jid, msg

    # Long texts and emoji survive both ways.
    long = "Die Anlage meldet: Übertemperatur \U0001F321\uFE0F; " * 7 + "Ende \U0001F468\u200D\U0001F469\u200D\U0001F467"
    mid = alice.text(jid, long, receipt=True)
    await get(alice.receipts, "the receipt of the long text", lambda m: m["receipt"] == mid)
    got = json.loads(phone(cfg, "log", number, "--json"))
    assert got[-1]["text"] == long, got[-1]
    phone(cfg, "send", number, long)
    msg = await get(alice.inbox, "the long answer")
    assert msg["body"] == long, msg["body"]

    # A refusal is a sentence.
    mid = alice.text("not-a-number@" + cfg["sms_domain"], "hello")
    err = await get(alice.errors, "the refusal", lambda m: m["id"] == mid)
    assert err["error"]["text"].endswith("."), err
    # The second phone answers by itself.
    alice.text(cfg["phones"][1] + "@" + cfg["sms_domain"], "ping")
    await get(alice.inbox, "the automatic answer", lambda m: m["body"].startswith("Got it"))
    await alice.logout()


def says(body):
    """Picks one text: those of earlier scenarios may come again, since a
    stream without acknowledgements has not confirmed them."""
    return lambda msg: msg["body"] == body


async def carbons(cfg):
    desk = await Client(cfg, user(cfg, "alice"), "SCRAM-SHA-256", "desk").login()
    phone = Client(cfg, user(cfg, "alice"), "SCRAM-SHA-256", "phone")
    phone.register_plugin("xep_0280")
    sent, received = asyncio.Queue(), asyncio.Queue()
    phone.add_event_handler("carbon_sent", sent.put_nowait)
    phone.add_event_handler("carbon_received", received.put_nowait)
    await phone.login()
    bob = await Client(cfg, user(cfg, "bob"), "SCRAM-SHA-256").login()
    info = await phone["xep_0030"].get_info(jid=cfg["domain"])
    assert "urn:xmpp:carbons:2" in info["disco_info"]["features"], info
    await phone["xep_0280"].enable()

    desk.text(bob.boundjid.bare, "from the desk")
    copy = await get(sent, "the copy of what the desk sent")
    inner = copy["carbon_sent"]
    assert copy["from"] == desk.boundjid.bare and copy["to"] == phone.boundjid.full, copy
    assert inner["body"] == "from the desk" and inner["from"] == desk.boundjid.full and inner["to"] == bob.boundjid.bare, copy
    msg = await get(bob.inbox, "the text itself", says("from the desk"))
    msg.reply("to the desk").send()
    copy = await get(received, "the copy of what the desk got")
    inner = copy["carbon_received"]
    assert inner["body"] == "to the desk" and inner["from"] == bob.boundjid.full and inner["to"] == desk.boundjid.full, copy
    await get(desk.inbox, "bob's answer", says("to the desk"))
    # To the bare JID both get it, and no copies.
    bob.text(desk.boundjid.bare, "to all")
    await get(desk.inbox, "bob's text", says("to all"))
    await get(phone.inbox, "bob's text", says("to all"))
    await phone["xep_0280"].disable()
    desk.text(bob.boundjid.bare, "not for the phone")
    await get(bob.inbox, "the last text", says("not for the phone"))
    await phone["xep_0199"].ping(cfg["domain"])
    assert sent.empty() and received.empty()
    for c in (desk, phone, bob):
        await c.logout()


async def blocking(cfg):
    alice = Client(cfg, user(cfg, "alice"), "SCRAM-SHA-256")
    alice.register_plugin("xep_0191")
    changes = asyncio.Queue()
    alice.add_event_handler("blocked", changes.put_nowait)
    alice.add_event_handler("unblocked", changes.put_nowait)
    await alice.login()
    carol = await Client(cfg, user(cfg, "carol"), "SCRAM-SHA-256").login()
    c = carol.boundjid.bare
    info = await alice["xep_0030"].get_info(jid=cfg["domain"])
    assert "urn:xmpp:blocking" in info["disco_info"]["features"], info

    async def blocked():
        return {str(j) for j in (await alice["xep_0191"].get_blocked())["blocklist"]["items"]}

    assert await blocked() == set()
    await alice["xep_0191"].block(c)
    await get(changes, "the push of the block")
    assert await blocked() == {c}
    mid = carol.text(alice.boundjid.bare, "are you there?")
    err = await get(carol.errors, "the refusal", lambda m: m["id"] == mid)
    assert err["error"]["condition"] == "service-unavailable", err
    mid = alice.text(c, "can you hear me?")
    err = await get(alice.errors, "the refusal", lambda m: m["id"] == mid)
    assert err["error"]["condition"] == "not-acceptable" and "urn:xmpp:blocking:errors" in str(err), err
    for inbox in (alice.inbox, carol.inbox):
        while not inbox.empty():
            assert inbox.get_nowait()["body"] not in ("are you there?", "can you hear me?")

    await alice["xep_0191"].unblock(c)
    await get(changes, "the push of the end of it")
    assert await blocked() == set()
    carol.text(alice.boundjid.bare, "and now?")
    await get(alice.inbox, "carol's text", says("and now?"))
    await alice.logout()
    await carol.logout()


async def resume(cfg):
    """A phone loses its link, and goes on as if nothing had been."""
    alice = await Client(cfg, user(cfg, "alice"), "SCRAM-SHA-256").login()
    bob = Client(cfg, user(cfg, "bob"), "SCRAM-SHA-256", resource="phone")
    bob.register_plugin("xep_0198")
    enabled, resumed, gone = asyncio.Event(), asyncio.Event(), asyncio.Event()
    bob.add_event_handler("sm_enabled", lambda _: enabled.set())
    bob.add_event_handler("session_resumed", lambda _: resumed.set())
    bob.add_event_handler("disconnected", lambda _: gone.set())
    await bob.login()
    await asyncio.wait_for(enabled.wait(), LIMIT)
    full, stream = bob.boundjid.full, bob["xep_0198"].sm_id
    assert stream, "no id to resume with"
    alice.text(full, "before")
    await get(bob.inbox, "a text", lambda m: m["body"] == "before")
    for link in range(3):
        resumed.clear()
        gone.clear()
        bob.abort()
        await asyncio.wait_for(gone.wait(), LIMIT)
        for i in range(12):
            alice.text(full if i % 2 else bob.boundjid.bare, "tunnel %d.%d" % (link, i))
        # Handled, and nothing of it was refused.
        await alice["xep_0199"].ping(cfg["domain"])
        host, port = cfg["c2s"].rsplit(":", 1)
        bob.connect((host, int(port)), force_starttls=True, disable_starttls=False)
        await asyncio.wait_for(resumed.wait(), LIMIT)
        for i in range(12):
            # Passing over what earlier scenarios left behind.
            msg = await get(bob.inbox, "a text of the tunnel", lambda m: m["body"].startswith("tunnel"))
            assert msg["body"] == "tunnel %d.%d" % (link, i), msg
        assert bob.boundjid.full == full and bob["xep_0198"].sm_id == stream
        bob.text(alice.boundjid.full, "out of tunnel %d" % link)
        msg = await get(alice.inbox, "bob's text")
        assert msg["body"] == "out of tunnel %d" % link and msg["from"] == full, msg
    assert alice.errors.empty(), alice.errors.get_nowait()
    await bob.logout()
    await alice.logout()


async def rooms(cfg):
    """Three people in a room: its life from the first entry to its end."""
    from slixmpp.exceptions import PresenceError

    people = []
    for name in ("alice", "bob", "carol"):
        c = Client(cfg, user(cfg, name), "SCRAM-SHA-256", "room")
        for plugin in ("xep_0004", "xep_0045", "xep_0249", "xep_0421"):
            c.register_plugin(plugin)
        c.talk, c.private, c.invited, c.direct = asyncio.Queue(), asyncio.Queue(), asyncio.Queue(), asyncio.Queue()
        c.add_event_handler("groupchat_message", c.talk.put_nowait)
        c.add_event_handler("message", lambda m, c=c: m["type"] == "chat" and c.private.put_nowait(m))
        c.add_event_handler("groupchat_invite", c.invited.put_nowait)
        c.add_event_handler("groupchat_direct_invite", c.direct.put_nowait)
        people.append(await c.login())
    alice, bob, carol = people
    service = "conference." + cfg["domain"]
    room = slixmpp.JID("slix-%s@%s" % (uuid.uuid4().hex[:8], service))

    listed = await alice["xep_0030"].get_items(jid=cfg["domain"])
    assert service in [str(i[0]) for i in listed["disco_items"]["items"]], listed
    info = await alice["xep_0030"].get_info(jid=service)
    assert any(i[:2] == ("conference", "text") for i in info["disco_info"]["identities"]), info
    assert "http://jabber.org/protocol/muc" in info["disco_info"]["features"], info

    # The first one makes the room; nobody else gets in until it is configured.
    me = (await alice["xep_0045"].join_muc_wait(room, "al", maxstanzas=0, timeout=LIMIT))[0]
    assert {110, 201} <= set(me["muc"]["status_codes"]), me
    try:
        await bob["xep_0045"].join_muc_wait(room, "bo", timeout=LIMIT)
        raise AssertionError("bob entered a room that is being set up")
    except PresenceError as e:
        assert e.condition == "item-not-found", e.condition
    form = await alice["xep_0045"].get_room_config(room)
    values = form.get_values()
    assert values["muc#roomconfig_roomowners"] == [alice.boundjid.bare], values
    values.update({"muc#roomconfig_roomname": "Slix & friends", "muc#roomconfig_persistentroom": True,
                   "muc#roomconfig_moderatedroom": True})
    form["type"] = "submit"
    form.set_values(values)
    await alice["xep_0045"].set_room_config(room, form)
    assert (await alice["xep_0045"].get_room_config(room)).get_values()["muc#roomconfig_roomname"] == "Slix & friends"
    listed = await bob["xep_0030"].get_items(jid=service)
    assert (str(room), "Slix & friends") in [(str(i[0]), i[2]) for i in listed["disco_items"]["items"]], listed

    me, subject, there, history = await bob["xep_0045"].join_muc_wait(room, "bo", timeout=LIMIT)
    assert me["muc"]["role"] == "visitor" and [p["from"].resource for p in there] == ["al", "bo"] and not history, (me, there)
    assert subject["subject"] == "", subject
    try:
        await carol["xep_0045"].join_muc_wait(room, "bo", timeout=LIMIT)
        raise AssertionError("two people have one nick")
    except PresenceError as e:
        assert e.condition == "conflict", e.condition
    bob.send_message(room, "let me speak", mtype="groupchat")
    err = await get(bob.errors, "the refusal", lambda m: m["from"] == room)
    assert err["error"]["condition"] == "forbidden", err
    await alice["xep_0045"].set_role(room, "bo", "participant")
    bob.send_message(room, "now <I> can \U0001F44B", mtype="groupchat")
    for c in (alice, bob):
        msg = await get(c.talk, "bob's words", lambda m: m["body"] == "now <I> can \U0001F44B")
        assert msg["mucnick"] == "bo" and msg["occupant-id"]["id"], msg
    alice["xep_0045"].set_subject(room, "Pumps")
    alice.send_message(str(room) + "/bo", "just us", mtype="chat")
    msg = await get(bob.private, "the private message", says("just us"))
    assert msg["from"] == str(room) + "/al", msg

    # Invitations, by the room and directly; history and subject at entry.
    # slixmpp takes a room it was refused for one it is in, and is silent.
    carol["xep_0045"].rooms.pop(room, None)
    bob["xep_0045"].invite(room, carol.boundjid.bare, "come in")
    await get(carol.invited, "the invitation", lambda m: m["from"] == room)
    alice["xep_0249"].send_invitation(carol.boundjid, room)
    await get(carol.direct, "the direct invitation")
    await alice["xep_0045"].set_affiliation(room, "member", jid=carol.boundjid.bare)
    me, subject, there, history = await carol["xep_0045"].join_muc_wait(room, "ca", timeout=LIMIT)
    assert me["muc"]["affiliation"] == "member" and me["muc"]["role"] == "participant", me
    assert subject["subject"] == "Pumps" and [p["from"].resource for p in there] == ["al", "bo", "ca"], (subject, there)
    await get(carol.talk, "history", lambda m: m["body"] == "now <I> can \U0001F44B" and m["delay"]["stamp"] is not None)
    assert await carol["xep_0199"].ping(str(room) + "/ca", timeout=LIMIT) >= 0
    members = await alice["xep_0045"].get_affiliation_list(room, "member")
    assert [str(j) for j in members] == [carol.boundjid.bare], members

    # Rank: a member may not kick, an owner may; the last owner stays.
    try:
        await carol["xep_0045"].set_role(room, "bo", "none")
        raise AssertionError("a member kicked somebody")
    except IqError as e:
        assert e.condition == "forbidden", e.condition
    try:
        await alice["xep_0045"].set_affiliation(room, "member", jid=alice.boundjid.bare)
        raise AssertionError("the last owner went")
    except IqError as e:
        assert e.condition == "conflict", e.condition
    kicked = asyncio.Queue()
    bob.add_event_handler("muc::%s::got_offline" % room, kicked.put_nowait)
    await alice["xep_0045"].set_role(room, "bo", "none", reason="enough")
    p = await get(kicked, "the kick", lambda p: p["from"] == str(room) + "/bo")
    assert {110, 307} <= set(p["muc"]["status_codes"]), p
    await alice["xep_0045"].set_affiliation(room, "outcast", jid=bob.boundjid.bare)
    try:
        await bob["xep_0045"].join_muc_wait(room, "bo", timeout=LIMIT)
        raise AssertionError("a banned person entered")
    except PresenceError as e:
        assert e.condition == "forbidden", e.condition

    gone = asyncio.Queue()
    carol.add_event_handler("muc::%s::got_offline" % room, gone.put_nowait)
    await alice["xep_0045"].destroy(room, reason="done")
    p = await get(gone, "the end", lambda p: p["from"] == str(room) + "/ca")
    assert "<destroy" in str(p) and "done" in str(p), p
    try:
        await carol["xep_0030"].get_info(jid=room)
        raise AssertionError("the room is still there")
    except IqError as e:
        assert e.condition == "item-not-found", e.condition
    for c in people:
        await c.logout()


async def room_archive(cfg):
    """What is said in a room: its archive, who reads it, and what is retracted."""
    people = []
    for name in ("alice", "bob"):
        c = Client(cfg, user(cfg, name), "SCRAM-SHA-256", "roommam")
        for plugin in ("xep_0004", "xep_0045", "xep_0059", "xep_0297", "xep_0313", "xep_0359", "xep_0421", "xep_0425"):
            c.register_plugin(plugin)
        c.talk, c.moderated = asyncio.Queue(), asyncio.Queue()
        c.add_event_handler("groupchat_message", c.talk.put_nowait)
        c.add_event_handler("moderated_message", c.moderated.put_nowait)
        people.append(await c.login())
    alice, bob = people
    room = slixmpp.JID("slix-%s@conference.%s" % (uuid.uuid4().hex[:8], cfg["domain"]))
    await alice["xep_0045"].join_muc_wait(room, "al", timeout=LIMIT)
    form = await alice["xep_0045"].get_room_config(room)
    values = form.get_values()
    assert values["muc#roomconfig_enablearchiving"] is True, values
    values["muc#roomconfig_persistentroom"] = True
    form["type"] = "submit"
    form.set_values(values)
    await alice["xep_0045"].set_room_config(room, form)
    info = await bob["xep_0030"].get_info(jid=room)
    assert {"urn:xmpp:mam:2", "urn:xmpp:mam:2#extended", "urn:xmpp:sid:0", "urn:xmpp:message-moderate:0",
            "urn:xmpp:message-moderate:1"} <= set(info["disco_info"]["features"]), info
    await bob["xep_0045"].join_muc_wait(room, "bo", timeout=LIMIT)
    ids = []
    for i in range(12):
        c = (alice, bob)[i % 2]
        c.send_message(room, "word %d" % i, mtype="groupchat")
        for o in people:
            msg = await get(o.talk, "word %d" % i, says("word %d" % i))
        assert msg["stanza_id"]["by"] == room, msg
        ids.append(msg["stanza_id"]["id"])

    async def read(c, **kw):
        return [(r["mam_result"]["id"], r["mam_result"]["forwarded"]["stanza"])
                async for r in c["xep_0313"].iterate(jid=room, **kw)]

    want = [(i, "word %d" % n) for n, i in enumerate(ids)]
    got = await read(bob, rsm={"max": 5})
    assert [(i, m["body"]) for i, m in got] == want, got
    got = (await read(bob, rsm={"max": 5}, reverse=True, total=12))
    assert sorted((i, m["body"]) for i, m in got) == want, got
    assert got[0][1]["from"].resource in ("al", "bo") and bob.boundjid.bare not in str(got[0][1]), got[0][1]
    got = await read(alice, with_jid=bob.boundjid.bare, rsm={"max": 50})
    assert [m["body"] for _, m in got] == ["word %d" % n for n in range(1, 12, 2)], got
    assert got[0][1]["muc"]["jid"] == bob.boundjid.full, got[0][1]

    # A moderator retracts; bob may not.
    try:
        await bob["xep_0425"].moderate(room, ids[0], "no", timeout=LIMIT)
        raise AssertionError("a participant moderated")
    except IqError as e:
        assert e.condition == "forbidden", e.condition
    await alice["xep_0425"].moderate(room, ids[3], "Not here", timeout=LIMIT)
    for c in people:
        msg = await get(c.moderated, "the retraction")
        assert msg["from"] == room and msg["apply_to"]["id"] == ids[3], msg
        assert msg["apply_to"]["moderated"]["reason"] == "Not here", msg
        assert msg["apply_to"]["moderated"]["by"] == str(room) + "/al", msg
    got = dict(await read(bob, rsm={"max": 50}))
    assert not got[ids[3]]["body"] and "<retracted" in str(got[ids[3]]) and "word 3" not in str(got[ids[3]]), got[ids[3]]

    await alice["xep_0045"].set_affiliation(room, "outcast", jid=bob.boundjid.bare)
    try:
        await bob["xep_0313"].retrieve(jid=room, timeout=LIMIT)
        raise AssertionError("a banned person reads")
    except IqError as e:
        assert e.condition == "forbidden", e.condition
    await alice["xep_0045"].destroy(room)
    for c in people:
        await c.logout()


async def mam(cfg):
    """The archive: of a chat and of texts, its pages, ids and preferences."""
    people = []
    for name in ("alice", "bob"):
        c = Client(cfg, user(cfg, name), "SCRAM-SHA-256", "mam")
        for plugin in ("xep_0004", "xep_0059", "xep_0297", "xep_0313", "xep_0359", "xep_0441"):
            c.register_plugin(plugin)
        people.append(await c.login())
    alice, bob = people
    a, b = alice.boundjid.bare, bob.boundjid.bare
    info = await alice["xep_0030"].get_info(jid=a)
    assert {"urn:xmpp:mam:2", "urn:xmpp:mam:2#extended", "urn:xmpp:sid:0"} <= set(info["disco_info"]["features"]), info
    fields = (await alice["xep_0313"].get_fields()).get_fields()
    assert {"with", "start", "end", "before-id", "after-id", "ids"} <= set(fields), fields

    tag = uuid.uuid4().hex[:8]
    ids = []
    for i in range(12):
        text = "%s %d" % (tag, i)
        (alice if i % 2 == 0 else bob).text(b if i % 2 == 0 else a, text)
        msg = await get((bob if i % 2 == 0 else alice).inbox, text, says(text))
        assert str(msg["stanza_id"]["by"]) == (b if i % 2 == 0 else a), msg
        ids.append(msg["stanza_id"]["id"])
    assert ids == sorted(ids), ids

    def bodies(results):
        return [r["mam_result"]["forwarded"]["stanza"]["body"] for r in results]

    want = ["%s %d" % (tag, i) for i in range(12)]
    for c in people:
        # The last page, then the pages before it.
        got = []
        async for r in c["xep_0313"].iterate(rsm={"max": 5}, reverse=True, total=12):
            assert r["mam_result"]["forwarded"]["delay"]["stamp"] is not None, r
            got.insert(0, r)
        assert bodies(got) == want and [r["mam_result"]["id"] for r in got] == ids, bodies(got)
        stamp = got[3]["mam_result"]["forwarded"]["delay"]["stamp"]
        got = [r async for r in c["xep_0313"].iterate(start=stamp, with_jid=alice.boundjid.bare if c is bob else b, rsm={"max": 4})]
        assert bodies(got) == want[3:], bodies(got)

    async def query(c, **fields):
        iq, _ = c["xep_0313"]._pre_mam_retrieve()
        for k, v in fields.items():
            iq["mam"][k] = v
        return await iq.send(timeout=LIMIT)

    iq = await query(alice, after_id=ids[2], before_id=ids[6])
    assert iq["mam_fin"].xml.get("complete") == "true", iq
    assert iq["mam_fin"]["rsm"]["first"] == ids[3] and iq["mam_fin"]["rsm"]["last"] == ids[5], iq
    try:
        await query(alice, after_id="never-heard-of")
        raise AssertionError("an id that does not exist was taken")
    except IqError as e:
        assert e.condition == "item-not-found", e.condition
    try:
        await alice["xep_0313"].retrieve(jid=b, timeout=LIMIT)
        raise AssertionError("alice read bob's archive")
    except IqError as e:
        assert e.condition == "forbidden", e.condition
    end = (await alice["xep_0313"].get_archive_metadata())["mam_metadata"]["end"]
    assert end["id"] == ids[-1], end

    # Texts are archived both ways.
    jid = cfg["phones"][0] + "@" + cfg["sms_domain"]
    mid = alice.text(jid, tag + " out", receipt=True)
    await get(alice.receipts, "the receipt", lambda m: m["receipt"] == mid)
    phone(cfg, "send", cfg["phones"][0], tag + " in")
    await get(alice.inbox, "the phone's text", says(tag + " in"))
    got = [r async for r in alice["xep_0313"].iterate(with_jid=jid, rsm={"max": 50})]
    texts = [t for t in bodies(got) if t.startswith(tag)]
    assert texts == [tag + " out", tag + " in"], texts

    # A person may choose to keep less.
    assert (await alice["xep_0441"].get_preferences())[0] == "always"
    await alice["xep_0441"].set_preferences(default="always", never=[slixmpp.JID(b)])
    bob.text(a, tag + " unkept")
    await get(alice.inbox, "bob's text", says(tag + " unkept"))
    got = bodies([r async for r in alice["xep_0313"].iterate(with_jid=b, rsm={"max": 50})])
    assert got[-12:] == want, got
    await alice["xep_0441"].set_preferences(default="always")
    await alice.logout()
    await bob.logout()


async def pep(cfg):
    """Personal eventing: nick, avatar, bookmarks and OMEMO's nodes, told to
    own clients and contacts, now and when they come later."""
    import base64
    import hashlib
    import xml.etree.ElementTree as ET

    omemo, axolotl = "urn:xmpp:omemo:2", "eu.siacs.conversations.axolotl"
    nick, metadata, bookmarks = "http://jabber.org/protocol/nick", "urn:xmpp:avatar:metadata", "urn:xmpp:bookmarks:1"

    async def client(name, resource, *wanted):
        c = Client(cfg, user(cfg, name), "SCRAM-SHA-256", resource)
        for plugin in ("xep_0004", "xep_0030", "xep_0049", "xep_0054", "xep_0060", "xep_0084", "xep_0115", "xep_0163", "xep_0172"):
            c.register_plugin(plugin)
        c.events = asyncio.Queue()
        for event in ("publish", "retract", "delete"):
            c.add_event_handler("pubsub_" + event, c.events.put_nowait)
        for node in wanted:
            c["xep_0030"].add_feature(node + "+notify")
        await c.login(presence=False)
        await c["xep_0115"].update_caps(broadcast=False)
        c.send_presence()
        return c

    def form(**options):
        f = slixmpp.plugins.xep_0004.Form()
        f["type"] = "submit"
        f.add_field(var="FORM_TYPE", ftype="hidden", value="http://jabber.org/protocol/pubsub#publish-options")
        for name, value in options.items():
            f.add_field(var="pubsub#" + name, value=value)
        return f

    def of(node, item=None):
        return lambda m: m["pubsub_event"]["items"]["node"] == node and (item is None or m["pubsub_event"]["items"]["item"]["id"] == item)

    alice = await client("alice", "pep1", nick)
    bob = await client("bob", "pep", nick, metadata, omemo + ":devices", axolotl + ".devicelist")
    a, b = alice.boundjid.bare, bob.boundjid.bare
    for one, other in ((alice, b), (bob, a)):
        one.send_presence_subscription(other, ptype="subscribe")
    alice.send_presence_subscription(b, ptype="subscribed")
    bob.send_presence_subscription(a, ptype="subscribed")
    await get(bob.presences, "alice", lambda p: p["from"].bare == a and p["type"] == "available")

    info = await alice["xep_0030"].get_info(jid=a)
    features = info["disco_info"]["features"]
    for f in ("http://jabber.org/protocol/pubsub#publish-options", bookmarks + "#compat", "urn:xmpp:pep-vcard-conversion:0"):
        assert f in features, features
    assert any(i[:2] == ("pubsub", "pep") for i in info["disco_info"]["identities"]), info

    # A nick, told to the contact and to the own other client.
    alice2 = await client("alice", "pep2", nick, bookmarks, metadata)
    await alice["xep_0172"].publish_nick("Al")
    for c in (bob, alice2):
        m = await get(c.events, "the nick", of(nick))
        assert m["from"] == a and m["type"] == "headline" and "Al" in str(m), m

    # An avatar is the vCard's photo too, and is announced in presence.
    image = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
    sha1 = hashlib.sha1(image).hexdigest()
    await alice["xep_0084"].publish_avatar(image)
    await alice["xep_0084"].publish_avatar_metadata([{"id": sha1, "type": "image/png", "bytes": len(image)}])
    await get(bob.events, "the avatar", of(metadata, sha1))
    await get(bob.presences, "the hash", lambda p: p["from"].bare == a and sha1 in str(p))
    got = await bob["xep_0084"].retrieve_avatar(a, sha1)
    assert got["pubsub"]["items"]["item"]["avatar_data"]["value"] == image, got
    card = await bob["xep_0054"].get_vcard(a)
    assert card["vcard_temp"]["PHOTO"]["BINVAL"] == image, card

    # OMEMO of both ages: anybody gets devices and bundles.
    devices = ET.fromstring("<devices xmlns='%s'><device id='7'/></devices>" % omemo)
    options = form(access_model="open")
    await alice["xep_0060"].publish(a, omemo + ":devices", id="current", payload=devices, options=options)
    for i in ("7", "8"):
        bundle = ET.fromstring("<bundle xmlns='%s'><spk id='%s'>a2V5</spk></bundle>" % (omemo, i))
        await alice["xep_0060"].publish(a, omemo + ":bundles", id=i, payload=bundle, options=form(access_model="open", max_items="max"))
    old = ET.fromstring("<list xmlns='%s'><device id='7'/></list>" % axolotl)
    await alice["xep_0060"].publish(a, axolotl + ".devicelist", id="current", payload=old, options=options)
    bundle = ET.fromstring("<bundle xmlns='%s'><signedPreKeyPublic signedPreKeyId='1'>a2V5</signedPreKeyPublic></bundle>" % axolotl)
    await alice["xep_0060"].publish(a, axolotl + ".bundles:7", id="current", payload=bundle, options=options)
    await get(bob.events, "the devices", of(omemo + ":devices"))
    await get(bob.events, "the old devices", of(axolotl + ".devicelist"))
    carol = await client("carol", "pep")
    for node, item, want in ((omemo + ":devices", "current", "<device id=\"7\""), (omemo + ":bundles", "7", "<spk id=\"7\""),
                             (axolotl + ".devicelist", "current", "<device id=\"7\""), (axolotl + ".bundles:7", "current", "signedPreKeyId=\"1\"")):
        got = await carol["xep_0060"].get_item(a, node, item)
        assert want in str(got), got
    try:
        await alice["xep_0060"].publish(a, omemo + ":devices", id="current", payload=devices, options=form(access_model="whitelist"))
        raise AssertionError("published against a precondition")
    except IqError as e:
        assert e.condition == "conflict" and "precondition-not-met" in str(e.iq), e.iq
    try:
        await carol["xep_0060"].get_item(a, nick, "current")
        raise AssertionError("a stranger reads the nick")
    except IqError as e:
        assert e.condition == "not-authorized" and "presence-subscription-required" in str(e.iq), e.iq

    # A bookmark of today is there for an old client, and the other way round.
    room = "slix-%s@conference.%s" % (uuid.uuid4().hex[:8], cfg["domain"])
    private = form(persist_items="true", max_items="max", send_last_published_item="never", access_model="whitelist")
    conference = ET.fromstring("<conference xmlns='%s' name='Slix' autojoin='true'><nick>al</nick></conference>" % bookmarks)
    await alice["xep_0060"].publish(a, bookmarks, id=room, payload=conference, options=private)
    await get(alice2.events, "the bookmark", of(bookmarks, room))
    iq = alice.make_iq_get()
    iq.append(ET.fromstring("<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'/></query>"))
    assert room in str(await iq.send()), "no bookmark in private storage"
    iq = alice.make_iq_set()
    iq.append(ET.fromstring("<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'><conference jid='%s' name='Slix'/></storage></query>" % room))
    await iq.send()
    m = await get(alice2.events, "the changed bookmark", of(bookmarks, room))
    assert "autojoin" not in str(m), m
    await alice["xep_0060"].retract(a, bookmarks, room, notify=True)
    await get(alice2.events, "its end", lambda m: m["pubsub_event"]["items"]["node"] == bookmarks and "retract" in str(m))

    # Who comes later gets what is last.
    late = await client("bob", "late", nick, metadata, omemo + ":devices")
    for node in (nick, metadata, omemo + ":devices"):
        await get(late.events, "the last item of " + node, lambda m, n=node: m["from"] == a and of(n)(m))
    for node in (nick, metadata, "urn:xmpp:avatar:data", omemo + ":devices", omemo + ":bundles", axolotl + ".devicelist", axolotl + ".bundles:7", bookmarks):
        await alice["xep_0060"].delete_node(a, node)
    await get(late.events, "the end of the nick", lambda m: "delete" in str(m) and nick in str(m))
    alice.send_presence_subscription(b, ptype="unsubscribe")
    alice.send_presence_subscription(b, ptype="unsubscribed")
    await asyncio.gather(*(c.logout() for c in (alice, alice2, bob, carol, late)))


async def commands(cfg):
    """Alice administers by ad-hoc commands; bob may not (XEP-0050, XEP-0133)."""
    people = {}
    for name in ("alice", "bob"):
        c = people[name] = Client(cfg, user(cfg, name), "SCRAM-SHA-256")
        c.register_plugin("xep_0004")
        c.register_plugin("xep_0050")
        c.register_plugin("xep_0133")
        c.ended = asyncio.Event()
        c.add_event_handler("disconnected", lambda _, c=c: c.ended.set())
        await c.login()
    alice, bob = people["alice"], people["bob"]
    domain = cfg["domain"]
    admin = "http://jabber.org/protocol/admin#"
    adhoc = alice["xep_0050"]

    # What there is, each sees by themselves.
    info = await alice["xep_0030"].get_info(jid=domain)
    assert "http://jabber.org/protocol/commands" in info["disco_info"]["features"], info
    assert "xmpp:" + user(cfg, "alice")["jid"] in str(info), info  # XEP-0157
    seen = {i[1] for i in (await adhoc.get_commands(domain))["disco_items"]["items"]}
    assert {admin + "add-user", admin + "announce", admin + "get-online-users-num"} <= seen, seen
    for i in (await bob["xep_0050"].get_commands(domain))["disco_items"]["items"]:
        assert not i[1].startswith(admin), i
    about = await alice["xep_0030"].get_info(jid=domain, node=admin + "add-user")
    assert ("automation", "command-node") in {i[:2] for i in about["disco_info"]["identities"]}, about
    try:
        await bob["xep_0050"].send_command(domain, admin + "add-user")
        raise AssertionError("bob may add users")
    except IqError as e:
        assert e.condition == "forbidden", e.iq

    async def fill(node, **fields):
        """Runs a command of one form, with the plugin's own flow."""
        done = asyncio.get_event_loop().create_future()

        def filled(iq, session):
            form = alice["xep_0004"].make_form(ftype="submit")
            form.add_field(var="FORM_TYPE", ftype="hidden", value=iq["command"]["form"]["values"]["FORM_TYPE"])
            for k, v in fields.items():
                form.add_field(var=k.replace("_", "-"), value=v)
            session["payload"] = form
            session["next"] = lambda iq, session: done.set_result(iq)
            adhoc.complete_command(session)

        def failed(iq, session):
            if not done.done():
                done.set_result(iq)
        adhoc.start_command(domain, admin + node, {"next": filled, "error": failed})
        return await asyncio.wait_for(done, LIMIT)

    # The plugin of XEP-0133 knows its commands by name.
    count = asyncio.get_event_loop().create_future()
    alice["xep_0133"].get_online_users_num(session={"next": lambda iq, s: count.set_result(iq)})
    iq = await asyncio.wait_for(count, LIMIT)
    assert iq["command"]["status"] == "completed" and iq["command"]["form"]["values"]["onlineusersnum"] == "2", iq

    new = "dave@" + domain
    iq = await fill("add-user", accountjid=new, password="a long password", **{"password_verify": "another one"})
    assert iq["command"]["status"] == "executing" and "differ" in str(iq["command"]), iq
    iq = await fill("add-user", accountjid=new, password="a long password", **{"password_verify": "a long password"})
    assert iq["command"]["status"] == "completed", iq
    iq = await fill("add-user", accountjid=new, password="a long password", **{"password_verify": "a long password"})
    assert iq["error"]["condition"] == "conflict", iq
    dave = Client(cfg, {"jid": new, "password": "a long password"}, "SCRAM-SHA-256")
    gone = asyncio.Event()
    dave.add_event_handler("stream_error", lambda e: gone.set())
    await dave.login()

    iq = await fill("announce", announcement="Fire drill at noon.")
    assert iq["command"]["status"] == "completed", iq
    for c in (alice, bob, dave):
        msg = await get(c.inbox, "the announcement", says("Fire drill at noon."))
        assert msg["from"] == domain, msg
    iq = await fill("user-stats", accountjid=new)
    assert "slix" in str(iq["command"]["form"]["values"]["onlineresources"]), iq
    iq = await fill("disable-user", accountjids=[new])
    assert iq["command"]["status"] == "completed", iq
    await asyncio.wait_for(gone.wait(), LIMIT)
    dave.abort()
    again = Client(cfg, {"jid": new, "password": "a long password"}, "SCRAM-SHA-256")
    host, port = cfg["c2s"].rsplit(":", 1)
    reason = asyncio.get_event_loop().create_future()
    again.add_event_handler("failed_auth", lambda e: reason.done() or reason.set_result(e))
    again.connect((host, int(port)), force_starttls=True, disable_starttls=False)
    assert (await asyncio.wait_for(reason, LIMIT))["condition"] == "account-disabled"
    again.abort()
    iq = await fill("delete-user", accountjids=[new])
    assert iq["command"]["status"] == "completed", iq

    # A flow that is left and one that is broken.
    iq = await adhoc.send_command(domain, admin + "announce")
    sid = iq["command"]["sessionid"]
    iq = await adhoc.send_command(domain, admin + "announce", action="cancel", sessionid=sid)
    assert iq["command"]["status"] == "canceled", iq
    for kw, want in (({"sessionid": sid}, "session-expired"), ({"sessionid": "nonsense"}, "bad-sessionid"), ({"action": "leap"}, "malformed-action")):
        try:
            await adhoc.send_command(domain, admin + "announce", **kw)
            raise AssertionError("%s was taken" % kw)
        except IqError as e:
            assert want in str(e.iq), e.iq
    await alice.logout()
    await bob.logout()


async def sms_commands(cfg):
    """What can be done with texts beside chatting: ad-hoc commands of the SMS
    domain (XEP-0050)."""
    people = {}
    for name in ("alice", "bob"):
        c = people[name] = Client(cfg, user(cfg, name), "SCRAM-SHA-256")
        for plugin in ("xep_0004", "xep_0050"):
            c.register_plugin(plugin)
        await c.login()
    alice, bob = people["alice"], people["bob"]
    domain, node = cfg["sms_domain"], "urn:doorway:sms#"

    info = await bob["xep_0030"].get_info(jid=domain)
    assert "http://jabber.org/protocol/commands" in info["disco_info"]["features"], info
    seen = {name: {i[1] for i in (await c["xep_0050"].get_commands(domain))["disco_items"]["items"]} for name, c in people.items()}
    assert seen["bob"] == {node + n for n in ("send", "history", "status")}, seen
    assert seen["alice"] == seen["bob"] | {node + "ussd", node + "credit"}, seen
    try:
        await bob["xep_0050"].send_command(domain, node + "ussd")
        raise AssertionError("bob may ask the network")
    except IqError as e:
        assert e.condition == "forbidden", e.iq

    async def run(c, command, *pages):
        """Runs a command to its end, filling in page after page."""
        iq = await c["xep_0050"].send_command(domain, node + command)
        for fields in pages:
            form = c["xep_0004"].make_form(ftype="submit")
            form.add_field(var="FORM_TYPE", ftype="hidden", value="urn:doorway:sms")
            for k, v in fields.items():
                form.add_field(var=k, value=v)
            iq = await c["xep_0050"].send_command(domain, node + command, action="execute", payload=form, sessionid=iq["command"]["sessionid"])
        return iq

    first, second = cfg["phones"][:2]
    iq = await run(bob, "send", {"numbers": [first, "0" + second[3:], "nobody"], "text": ["Gate 4 is closed", "until noon"]})
    assert iq["command"]["status"] == "completed", iq
    assert "2 of 3 texts are queued" in str(iq) and "not a phone number" in str(iq), iq
    msg = await get(bob.inbox, "the automatic answer of the second phone", lambda m: m["from"].bare == second + "@" + domain)
    assert msg["body"].startswith("Got it"), msg
    for _ in range(LIMIT * 10):
        if "Gate 4 is closed" in phone(cfg, "log", first):
            break
        await asyncio.sleep(0.1)
    assert json.loads(phone(cfg, "log", first, "--json"))[-1]["text"] == "Gate 4 is closed\nuntil noon"

    iq = await run(bob, "history", {})
    assert str(iq).count("Gate 4 is closed until noon") == 2 and first in str(iq), iq
    carol = Client(cfg, user(cfg, "carol"), "SCRAM-SHA-256")
    carol.register_plugin("xep_0004")
    carol.register_plugin("xep_0050")
    await carol.login()
    assert "Gate 4" not in str(await run(carol, "history", {})), "carol sees what bob has sent"
    iq = await run(alice, "history", {"number": first})
    assert "Gate 4 is closed until noon" in str(iq) and user(cfg, "bob")["jid"] in str(iq) and second not in str(iq), iq

    iq = await run(bob, "status")
    assert "dBm" in str(iq) and "The modem is ready" in str(iq), iq
    iq = await run(alice, "ussd", {"code": "*101#"}, {"code": "1"})
    assert iq["command"]["status"] == "completed" and "Your balance is 12.34 EUR" in str(iq), iq
    iq = await run(alice, "ussd", {"code": "*102#"})
    assert iq["command"]["status"] == "executing" and "does not know this USSD code" in str(iq), iq
    iq = await run(alice, "credit")
    assert iq["command"]["status"] == "completed" and "credit_code" in str(iq), iq
    for c in (alice, bob, carol):
        await c.logout()


async def sms_copies(cfg):
    """Texts are conversations as all others: a second client gets a copy of
    what was sent (XEP-0280) and the answer, and the archive (XEP-0313) has both."""
    desk = Client(cfg, user(cfg, "alice"), "SCRAM-SHA-256", "desk")
    desk.register_plugin("xep_0313")
    second = Client(cfg, user(cfg, "alice"), "SCRAM-SHA-256", "second")
    second.register_plugin("xep_0280")
    sent, received = asyncio.Queue(), asyncio.Queue()
    second.add_event_handler("carbon_sent", sent.put_nowait)
    second.add_event_handler("carbon_received", received.put_nowait)
    await desk.login()
    await second.login()
    await second["xep_0280"].enable()
    number = cfg["phones"][0]
    jid = number + "@" + cfg["sms_domain"]

    mid = desk.text(jid, "Is the pump running?", receipt=True)
    copy = await get(sent, "the copy of the text", lambda m: m["carbon_sent"]["body"] == "Is the pump running?")
    inner = copy["carbon_sent"]
    assert copy["from"] == desk.boundjid.bare and inner["to"] == jid and inner["from"] == desk.boundjid.full, copy
    await get(desk.receipts, "the delivery receipt", lambda m: m["receipt"] == mid)
    phone(cfg, "send", number, "It is running.")
    for c in (desk, second):  # it goes to the account, so both get it themselves
        msg = await get(c.inbox, "the answer", says("It is running."))
        assert msg["from"].bare == jid, msg

    # No sign of reading, and none of typing, ever comes from a phone: nobody can know.
    desk.make_message(mto=jid, mtype="chat").send()
    typing = desk.make_message(mto=jid, mtype="chat")
    from xml.etree import ElementTree as ET
    typing.append(ET.Element("{http://jabber.org/protocol/chatstates}composing"))
    typing.send()
    info = await desk["xep_0030"].get_info(jid=jid)
    features = info["disco_info"]["features"]
    assert "urn:xmpp:receipts" in features, info
    assert not features & {"urn:xmpp:chat-markers:0", "http://jabber.org/protocol/chatstates"}, info
    assert [e["text"] for e in json.loads(phone(cfg, "log", number, "--json"))][-1] == "Is the pump running?"

    kept = []
    async for m in desk["xep_0313"].iterate(with_jid=jid):
        inner = m["mam_result"]["forwarded"]["stanza"]
        kept.append((inner["from"].bare, inner["to"].bare, inner["body"]))
    me = desk.boundjid.bare
    assert (me, jid, "Is the pump running?") in kept and (jid, me, "It is running.") in kept, kept
    assert desk.errors.empty() and second.errors.empty()
    await desk.logout()
    await second.logout()


async def groups(cfg):
    """Shared groups appear, change and vanish while two people are online."""
    alice = await Client(cfg, user(cfg, "alice"), "SCRAM-SHA-256").login()
    bob = await Client(cfg, user(cfg, "bob"), "SCRAM-SHA-256").login()
    a, b = alice.boundjid.bare, bob.boundjid.bare

    def admin(*args):
        subprocess.run([cfg["doorway"], *args, "--dir", cfg["dir"]], check=True, capture_output=True, text=True)

    def pushes(c):
        q = asyncio.Queue()
        c.add_event_handler("roster_update", q.put_nowait)

        async def pushed(contact, what, wanted):
            iq = await get(q, what, lambda iq: iq["type"] == "set" and contact in iq["roster"]["items"])
            item = iq["roster"]["items"][contact]
            assert wanted(item), (what, item)
        return pushed
    from_alice, from_bob = pushes(alice), pushes(bob)

    def here(who):
        return lambda p: p["type"] not in ("unavailable", "error") and p["from"].bare == who

    admin("group", "add", "slix", "alice", "bob", "--label", "Slix", "--visible", "members")
    await from_alice(b, "bob comes", lambda i: i["subscription"] == "both" and list(i["groups"]) == ["Slix"])
    await from_bob(a, "alice comes", lambda i: i["subscription"] == "both")
    await get(alice.presences, "bob's presence", here(b))
    await get(bob.presences, "alice's presence", here(a))

    # Another client sees the same, and a change of presence reaches both.
    second = await Client(cfg, user(cfg, "alice"), "SCRAM-SHA-256", resource="second").login()
    assert second.client_roster[b]["groups"] == ["Slix"] and second.client_roster[b]["subscription"] == "both"
    bob.send_presence(pshow="dnd")
    for c in (alice, second):
        await get(c.presences, "bob busy", lambda p: p["type"] == "dnd" and p["from"].bare == b)

    # What is the user's own stays, what is the administrator's cannot be taken.
    await alice.update_roster(b, name="Bobby", groups=["Slix", "Chess"])
    await from_alice(b, "alice's name for bob", lambda i: i["name"] == "Bobby" and sorted(i["groups"]) == ["Chess", "Slix"])
    admin("group", "edit", "slix", "--label", "Python")
    await from_alice(b, "another label", lambda i: sorted(i["groups"]) == ["Chess", "Python"] and i["name"] == "Bobby")
    for change in (lambda: alice.update_roster("far@far.example", groups=["Python"]), lambda: bob.del_roster_item(a)):
        try:
            await change()
            raise AssertionError("a shared group was changed")
        except IqError as e:
            assert e.condition == "not-acceptable" and "administrator" in e.text, e.iq
    for typ in ("unsubscribe", "unsubscribed"):
        alice.send_presence_subscription(b, ptype=typ)
    alice.send_presence(pshow="away")
    await get(bob.presences, "alice away", lambda p: p["type"] == "away" and p["from"].bare == a)

    admin("group", "member", "remove", "slix", "bob")
    await get(alice.presences, "bob gone", lambda p: p["type"] == "unavailable" and p["from"].bare == b)
    await from_alice(b, "bob's removal", lambda i: i["subscription"] == "remove")
    admin("group", "member", "add", "slix", "bob")
    await from_alice(b, "bob's return", lambda i: i["name"] == "Bobby" and sorted(i["groups"]) == ["Chess", "Python"])
    admin("group", "remove", "slix")
    await from_alice(b, "the end of the group", lambda i: i["subscription"] == "remove")
    for c in (alice, second, bob):
        await c.logout()


async def directory(cfg):
    """The directory is found, searched with its form, and lists groups."""
    alice = await Client(cfg, user(cfg, "alice"), "SCRAM-SHA-256").login()
    alice.register_plugin("xep_0055")
    alice.register_plugin("xep_0054")
    service = "directory." + cfg["domain"]

    def admin(*args):
        subprocess.run([cfg["doorway"], *args, "--dir", cfg["dir"]], check=True, capture_output=True, text=True)

    number = cfg["phones"][0]
    admin("people", "add", "driver7", "--name", "Dörte Driver", "--phone", number)
    admin("group", "add", "drivers", "alice", "carol", "driver7", "--label", "Drivers", "--visible", "members")
    listed = await alice["xep_0030"].get_items(jid=cfg["domain"])
    assert any(i[0] == service for i in listed["disco_items"]["items"]), listed
    info = await alice["xep_0030"].get_info(jid=service)
    assert any(i[:2] == ("directory", "user") for i in info["disco_info"]["identities"]), info
    ask = alice.make_iq_get(queryxmlns="jabber:iq:search", ito=service)
    fields = (await ask.send())["search"]["form"]["fields"]
    assert {"search", "first", "last", "nick", "email", "phone", "group"} <= {f["var"] for f in fields}, fields

    async def found(**values):
        iq = alice["xep_0055"].make_search_iq(ito=service)
        for name, value in values.items():
            iq["search"]["form"].add_field(var=name, value=value)
        return {i["jid"] for i in (await iq.send())["search"]["form"]["items"]}

    phone_jid = number + "@" + cfg["sms_domain"]
    assert await found(search="DORTE") == {phone_jid}
    assert await found(phone=number) == {phone_jid}
    assert await found(group="driv") >= {phone_jid, "carol@" + cfg["domain"]}
    assert await found(search="bob") == set(), "bob is in no group of alice's"
    items = await alice["xep_0030"].get_items(jid=service, node="drivers")
    assert any(i[0] == phone_jid and i[2] == "Dörte Driver" for i in items["disco_items"]["items"]), items
    card = await alice["xep_0054"].get_vcard(jid=phone_jid)
    assert card["vcard_temp"]["FN"] == "Dörte Driver", card
    admin("group", "remove", "drivers")
    admin("people", "remove", "driver7")
    assert await found(search="dorte") == set()
    await alice.logout()


async def main():
    with open(sys.argv[2], encoding="utf-8") as f:
        cfg = json.load(f)
    await globals()[sys.argv[1]](cfg)
    print("ok slixmpp", slixmpp.__version__, flush=True)


asyncio.get_event_loop().run_until_complete(main())
