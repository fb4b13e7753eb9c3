"""Attacks on the protocol: what the sandbox says to the judge is forged, byte by byte."""

from __future__ import annotations

from functools import partial

from . import Attack, function

PROTOCOL = """
import contextlib, json, os, socket, stat, struct, sys, time
def channel():
    frame = sys._getframe()
    while frame:
        found = frame.f_locals.get("channel")
        if type(found).__name__ == "Channel":
            return found.end
        frame = frame.f_back
def sockets():
    for number in range(3, 64):
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                yield socket.socket(fileno=os.dup(number))
def framed(head, body=b""):
    head = head if isinstance(head, bytes) else json.dumps(head).encode()
    return struct.pack(">IQ", len(head), len(head) + len(body)) + head + body
def say(value, arrays=(), body=b""):
    channel().sendall(framed({"message": {"value": value}, "arrays": list(arrays)}, body))
    time.sleep(100)
"""


def _answers(code: str, name: str = "saliency") -> dict[str, str]:
    return {name: function(name, code)}


_Forged = partial(Attack, cell=PROTOCOL, ruins=True)
_Said = partial(Attack, cell=PROTOCOL)
YES = '{"message": {"right": True, "kind": "right", "value": ["plain", True], "verdict": True}, "arrays": []}'

ATTACKS = (
    _Forged(
        "verdicts sent everywhere",
        "messages that say that everything is right are written to every socket and pipe",
        cell=PROTOCOL
        + f"""
for number in range(3, 64):
    with contextlib.suppress(OSError):
        os.set_blocking(number, False)
        for _ in range(20):
            os.write(number, framed({YES}))
""",
        gains=True,
    ),
    _Forged(
        "verdicts sent by an answer",
        "an answer says in its own message that it is right, many times, and then goes on",
        answers=_answers(f"for _ in range(50):\n    channel().sendall(framed({YES}))\nreturn None"),
        gains=True,
    ),
    _Forged(
        "answered before asked",
        "a cell sends answers for the calls to come on its own connection",
        cell=PROTOCOL + "\nchannel().sendall(framed({'message': {'outputs': []}, 'arrays': []}) * 30)",
        gains=True,
    ),
    _Forged(
        "steps taken away",
        "a process takes the judge's steps from the runner, and says of each that all is done",
        cell=PROTOCOL
        + """
main = next(sockets())
if os.fork() == 0:
    while True:
        data, files, *_ = socket.recv_fds(main, 10**6, 8)
        for number in files:
            with contextlib.suppress(OSError):
                socket.socket(fileno=number).sendall(framed({"message": {"missing": False, "callable": False,
                    "value": ["tuple", ["float", "0x0p0"], ["float", "0x0p0"]], "outputs": []}, "arrays": []}))
        main.send(b"!")
""",
        gains=True,
    ),
    _Forged(
        "deaths announced",
        "the judge is told again and again that the working process has died",
        cell=PROTOCOL + "\nfor end in sockets():\n    end.setblocking(False)\n    end.send(b'!' * 1000)",
    ),
    _Forged("random bytes", "bytes without a meaning", answers=_answers("channel().sendall(bytes(range(256)) * 100)")),
    _Forged(
        "pickle",
        "a message is a pickle that runs a command where it is read",
        answers=_answers(
            "import pickle\n"
            "class Run:\n"
            "    def __reduce__(self):\n"
            '        return eval, (\'open("/tmp/attacked-by-pickle", "w")\',)\n'
            "channel().sendall(framed(pickle.dumps(Run())))\n"
            "say(['tensor', 0], [['object', [1]]], pickle.dumps(Run()))"
        ),
    ),
    _Forged(
        "message of 2^60 bytes", "a message says how large it is", answers=_answers("channel().sendall(b'\\xff' * 12)")
    ),
    _Forged(
        "message in drops",
        "a message comes byte by byte, for ever",
        answers=_answers(
            "channel().sendall(struct.pack('>IQ', 10**6, 10**6))\n"
            "while True:\n    channel().sendall(b' ')\n    time.sleep(0.05)"
        ),
    ),
    _Forged(
        "shape that overflows",
        "an array without bytes has a shape whose size is no number of the machine",
        answers=_answers('say(["tensor", 0], [["float32", [0, *[2**31 - 1] * 7]]])'),
    ),
    _Said(
        "tensor elsewhere that overflows",
        "a tensor on no device has a size that is no number of the machine",
        answers=_answers('say(["elsewhere", [2**31 - 1] * 8])'),
    ),
    _Said(
        "sparse tensor that overflows",
        "a sparse tensor has a size that is no number of the machine",
        answers=_answers('say(["sparse", [2**31 - 1] * 8])'),
    ),
    _Said(
        "fraction of a million digits",
        "the judge has to cancel a fraction for hours",
        answers=_answers('say(["fraction", "0x" + "7" * 3_000_001, "0x" + "5" * 2_999_999])'),
    ),
    _Said(
        "numbers with one hash",
        "the judge has to make a set of numbers that all have one hash",
        answers=_answers('say(["set", *[["int", hex(k * (2**61 - 1))] for k in range(150_000)]])'),
    ),
    _Said(
        "too many values",
        "the judge has to read a list of more values than any answer has",
        answers=_answers('say(["list", *[["plain", None]] * 300_000])'),
    ),
    _Said(
        "40 million numbers by hand",
        "where two numbers are asked for, an array of 40 million comes",
        answers=_answers('say(["tensor", 0], [["bool", [40_000_000]]], bytes(40_000_000))', "circle_gradient"),
    ),
    _Said(
        "choice of 4 million characters",
        "the choice is a text that is five times as long when the judge cites it",
        answers=_answers(
            'text = "\\U000e0000" * 3_500_000\n'
            'head = json.dumps({"message": {"value": ["list", ["plain", text]]}, "arrays": []}, ensure_ascii=False)\n'
            "channel().sendall(framed(head.encode()))\ntime.sleep(100)",
            "saturation_methods",
        ),
    ),
    _Said(
        "open files sent",
        "with each byte of a message come open files, until the judge can open none",
        answers=_answers(
            "file = os.open('/dev/null', 0)\n"
            "for byte in framed({'message': {'value': ['plain', 'x' * 300]}, 'arrays': []}):\n"
            "    with contextlib.suppress(OSError):\n"
            "        socket.send_fds(channel(), [bytes([byte])], [file] * 8)\n"
            "    time.sleep(0.002)\n"
            "time.sleep(100)"
        ),
    ),
    _Forged(
        "outputs of no form",
        "outputs that are no outputs, deep ones, and half characters come from a cell",
        cell=PROTOCOL
        + """
deep = '{"a":' * 900 + '1' + '}' * 900
items = [1, None, "x", {"output_type": ["stream"]}, {"output_type": "stream", "name": {}, "text": ["x"]},
         {"output_type": "error", "ename": {}, "evalue": None, "traceback": 7},
         {"output_type": "display_data", "data": {"text/plain": "\\ud800", "x": 1, "../..": "x"}, "metadata": 3}]
text = json.dumps(items)[:-1] + ', {"output_type": "display_data", "data": {"application/json": %s}}]' % deep
channel().sendall(framed(('{"message": {"outputs": %s}, "arrays": []}' % text).encode()))
""",
    ),
    _Forged(
        "nobody reads",
        "a cell says that it is done and does not read what comes, of which there is much",
        cell=PROTOCOL + "\nchannel().sendall(framed({'message': {'outputs': []}, 'arrays': []}))\ntime.sleep(100)",
        answers={"circle_gradient": "#" + "x" * 900_000},
    ),
    _Forged(
        "raised where nothing was raised",
        "every call is answered with the sign of an error that was let through",
        cell=PROTOCOL,
        answers=_answers(
            "channel().sendall(framed({'message': {'value': ['raised']}, 'arrays': []}) * 30)\ntime.sleep(100)"
        ),
        gains=True,
    ),
)
