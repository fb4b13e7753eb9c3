"""Values as plain data: what crosses the border of the sandbox, and nothing else.

A message is a JSON object and some arrays. An array is the name of its dtype, its shape and its bytes, so that reading
one can run nothing and allocates no more than what came. Values are written into a message by :func:`encode` and read
by :func:`decode`; what is neither a tensor, a number, a string nor a collection of these arrives as a :func:`stranger`,
which has its type's name and nothing else.
"""

from __future__ import annotations

import array
import contextlib
import importlib
import json
import math
import os
import re
import select
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from course_utils.exercises.core import Fault, Raised

DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
        *(torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128),
    )
}
SCALARS = {scalar.__name__: scalar for scalar in (np.bool_, np.int32, np.int64, np.float32, np.float64)}
LARGEST_HEADER = 16 * 2**20  # bytes of JSON in a message
LARGEST_MESSAGE = 128 * 2**20  # bytes of a message, with its arrays
DEEPEST = 40  # collections within collections
MOST_VALUES = 400_000  # entries of all lists in a value as JSON
MOST_KEYS = 1000  # of a dict or set: with chosen keys to fill one takes the square of their number
MOST_DIGITS = 1000  # of a whole number
MOST_ENTRIES = 2**40  # of an array that came without bytes
NAME = re.compile(r"[A-Za-z_][A-Za-z_0-9.]{0,99}")


class Unreadable(ValueError):
    """What came is no message, or no value: the other side does not keep to the rules."""


class Closed(ConnectionError):
    """The other side has closed the connection, or died."""


class TooLate(TimeoutError):
    """Nothing came in time."""


# ---------------------------------------------------------------------------------------------------------------------
# Values
# ---------------------------------------------------------------------------------------------------------------------


def stranger(module: str, name: str) -> Any:
    """Return an object whose type is called `module`.`name`, for messages; it can do nothing."""
    if not (NAME.fullmatch(module) and NAME.fullmatch(name)):
        module, name = "builtins", "object"
    return type(name, (), {"__module__": module})()


def encode(value: Any, arrays: list[Tensor], depth: int = 0) -> list[Any]:
    """Return a value as JSON; its tensors are appended to `arrays`.

    Args:
        value: what an exercise's answer gave (a Fault or Raised among it), or an argument of a case: tensors, numbers,
            strings, collections of these, and descriptions, which are dataclasses with ``build``.
        arrays: grows.

    Raises:
        Unreadable: collections within more than ``DEEPEST`` collections.
    """
    if depth > DEEPEST:
        raise Unreadable(f"collections within more than {DEEPEST} collections")

    def several(items: Any) -> list[Any]:
        return [encode(item, arrays, depth + 1) for item in items]

    kind = type(value)
    if value is None or kind in (bool, str):
        return ["plain", value]
    if kind is int:
        return ["int", hex(value)]
    if kind is float:
        return ["float", value.hex()]
    if kind is Fraction:
        return ["fraction", hex(value.numerator), hex(value.denominator)]
    if kind.__name__ in SCALARS and kind is SCALARS[kind.__name__]:
        return ["scalar", kind.__name__, float(value).hex()]
    if kind in (Tensor, nn.Parameter):
        return _encode_tensor(value, arrays)
    if kind is np.ndarray and value.dtype.kind in "biuf" and str(value.dtype) in DTYPES:
        return ["ndarray", *_encode_tensor(torch.from_numpy(np.ascontiguousarray(value)), arrays)[1:]]
    if kind in (tuple, list, set, frozenset):
        return [kind.__name__, *several(value)]
    if kind is dict:
        return ["dict", *([encode(key, arrays, depth + 1), encode(value[key], arrays, depth + 1)] for key in value)]
    if kind is Raised:
        return ["raised"]
    if kind is Fault:
        return ["fault", str(value.message)]
    if is_dataclass(value) and hasattr(value, "build"):
        own = {field.name: encode(getattr(value, field.name), arrays, depth + 1) for field in fields(value)}
        return ["description", kind.__module__, kind.__name__, own]
    return ["stranger", str(kind.__module__), str(kind.__name__)]


def _encode_tensor(tensor: Tensor, arrays: list[Tensor]) -> list[Any]:
    if tensor.layout != torch.strided:
        return ["sparse", list(tensor.shape)]
    if tensor.device.type != "cpu":
        return ["elsewhere", list(tensor.shape)]
    if str(tensor.dtype).removeprefix("torch.") not in DTYPES:
        return ["stranger", "torch", str(tensor.dtype).removeprefix("torch.")]
    arrays.append(Tensor.detach(tensor))
    return ["tensor", len(arrays) - 1]


def decode(tree: Any, arrays: list[Tensor], descriptions: bool = False) -> Any:
    """Return the value that :func:`encode` wrote.

    Args:
        tree: the JSON.
        arrays: those of the same message.
        descriptions: whether a description may be among it. Only where the sender is trusted: it names a class of
            ``course_utils``, which is imported.

    Raises:
        Unreadable: this is no value.
    """
    if _entries(tree) > MOST_VALUES:
        raise Unreadable("too many values")
    try:
        return _decode(tree, arrays, descriptions, 0)
    except Unreadable:
        raise
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, ImportError) as error:
        raise Unreadable(f"no value: {type(error).__name__}") from error


def _entries(tree: Any) -> int:
    """Return the number of entries of a list and of all lists in it."""
    count, waiting = 0, [tree]
    while waiting:
        item = waiting.pop()
        if type(item) is list:
            count += len(item)
            waiting += item
    return count


def _decode(tree: Any, arrays: list[Tensor], descriptions: bool, depth: int) -> Any:
    if type(tree) is not list or not tree or type(tree[0]) is not str or depth > DEEPEST:
        raise Unreadable("no value")
    kind, *parts = tree

    def several() -> list[Any]:
        return [_decode(part, arrays, descriptions, depth + 1) for part in parts]

    readers: dict[str, Callable[[], Any]] = {
        "int": lambda: _whole(parts[0]),
        "float": lambda: float.fromhex(parts[0]),
        "fraction": lambda: Fraction(_whole(parts[0]), _whole(parts[1])),
        "scalar": lambda: SCALARS[parts[0]](float.fromhex(parts[1])),
        "tensor": lambda: _array(arrays, parts[0]),
        "ndarray": lambda: _array(arrays, parts[0]).numpy(),
        "sparse": lambda: torch.sparse_coo_tensor(size=_shape(parts[0]), check_invariants=True),
        "elsewhere": lambda: torch.empty(_shape(parts[0]), device="meta"),
        "tuple": lambda: tuple(several()),
        "list": several,
        "set": lambda: set(several()),
        "frozenset": lambda: frozenset(several()),
        "dict": lambda: {
            _decode(key, arrays, descriptions, depth + 1): _decode(value, arrays, descriptions, depth + 1)
            for key, value in parts
        },
        "raised": Raised,
        "fault": lambda: Fault(_text(parts[0])),
        "stranger": lambda: stranger(_text(parts[0]), _text(parts[1])),
    }
    if kind == "plain":
        if parts[0] is not None and type(parts[0]) not in (bool, str):
            raise Unreadable("no value")
        return parts[0]
    if kind == "description" and descriptions:
        module, name, own = parts
        if not module.startswith("course_utils."):
            raise Unreadable("no description")
        described = getattr(importlib.import_module(module), name)
        return described(**{key: _decode(part, arrays, descriptions, depth + 1) for key, part in own.items()})
    if kind not in readers:
        raise Unreadable("no value")
    if kind in ("set", "frozenset", "dict") and len(parts) > MOST_KEYS:
        raise Unreadable("too many keys")
    return readers[kind]()


def _text(text: Any) -> str:
    if type(text) is not str:
        raise Unreadable("no text")
    return text[:2000]


def _whole(text: Any) -> int:
    if len(text) > MOST_DIGITS:
        raise Unreadable("too large a number")
    return int(text, 16)


def _array(arrays: list[Tensor], place: Any) -> Tensor:
    if type(place) is not int or not 0 <= place < len(arrays):
        raise Unreadable("no array")
    return arrays[place]


def _shape(shape: Any) -> list[int]:
    if type(shape) is not list or len(shape) > 8 or not all(type(n) is int and n >= 0 for n in shape):
        raise Unreadable("no shape")
    if math.prod(max(n, 1) for n in shape) > MOST_ENTRIES:
        raise Unreadable("no shape")
    return shape


# ---------------------------------------------------------------------------------------------------------------------
# Messages
# ---------------------------------------------------------------------------------------------------------------------


class Channel:
    """One end of a connection that carries messages, and open files with them.

    Args:
        end: of a stream socket.
        patrol: called about every `interval` seconds while it waits.
        files: whether open files that come are taken; the system closes them otherwise.
    """

    def __init__(
        self,
        end: socket.socket,
        patrol: Callable[[], None] = lambda: None,
        interval: float | None = None,
        files: bool = False,
    ) -> None:
        self.end = end
        self.patrol = patrol
        self.interval = interval
        self.files = files

    def close(self) -> None:
        """Close this end."""
        self.end.close()

    def send(self, message: dict[str, Any], arrays: list[Tensor] | tuple[()] = (), files: tuple[int, ...] = ()) -> None:
        """Send a message.

        Args:
            message: what JSON can hold.
            arrays: of dtypes in ``DTYPES``.
            files: descriptors that the other side gets, too.

        Raises:
            Unreadable: more than ``LARGEST_MESSAGE`` bytes.
            Closed: nobody is there to read.
            TooLate: nobody reads, for as long as the socket waits.
        """
        described = [[str(tensor.dtype).removeprefix("torch."), list(tensor.shape)] for tensor in arrays]
        head = json.dumps({"message": message, "arrays": described}).encode()
        bodies = [_bytes(tensor) for tensor in arrays]
        size = sum(map(len, bodies)) + len(head)
        if len(head) > LARGEST_HEADER or size > LARGEST_MESSAGE:
            raise Unreadable("too much for one message")
        data = b"".join([struct.pack(">IQ", len(head), size), head, *bodies])
        try:
            sent = self._send_first(data, files)
            self.end.sendall(data[sent:])
        except (BrokenPipeError, ConnectionError) as error:
            raise Closed("nobody is there to read") from error
        except TimeoutError as error:
            raise TooLate("nobody reads") from error

    def _send_first(self, data: bytes, files: tuple[int, ...]) -> int:
        if not files:
            return 0
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))]
        return self.end.sendmsg([data], rights)

    def receive(self, timeout: float | None = None) -> tuple[dict[str, Any], list[Tensor], list[int]]:
        """Return the next message, its arrays, and the descriptors of the files that came with it.

        Raises:
            TooLate: it did not come within `timeout` seconds.
            Closed: the other side has gone.
            Unreadable: what came is no message.
        """
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        files: list[int] = []
        head_size, size = struct.unpack(">IQ", self._read(12, deadline, files))
        if head_size > LARGEST_HEADER or size > LARGEST_MESSAGE or head_size > size:
            raise Unreadable("too much for one message")
        data = self._read(size, deadline, files)
        try:
            head = json.loads(bytes(data[:head_size]))
            message, described = head["message"], head["arrays"]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise Unreadable("no message") from error
        if type(message) is not dict or type(described) is not list:
            raise Unreadable("no message")
        return message, _arrays(described, data[head_size:]), files

    def _read(self, size: int, deadline: float, files: list[int]) -> memoryview:
        data = bytearray()
        while len(data) < size:
            self._wait(deadline)
            room = socket.CMSG_SPACE(4 * 8) if self.files else 0
            try:
                part, rights, *_ = self.end.recvmsg(min(size - len(data), 2**20), room)
            except ConnectionError as error:
                raise Closed("the other side has gone") from error
            for level, kind, numbers in rights:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    found = array.array("i")
                    found.frombytes(numbers[: len(numbers) - len(numbers) % found.itemsize])
                    files.extend(found)
            if not part:
                raise Closed("the other side has gone")
            data += part
        return memoryview(bytes(data))

    def _wait(self, deadline: float) -> None:
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TooLate("nothing came in time")
            pause = min(left, self.interval or left)
            if select.select([self.end], [], [], None if math.isinf(pause) else pause)[0]:
                return
            self.patrol()


def _bytes(tensor: Tensor) -> bytes:
    flat = tensor.resolve_conj().resolve_neg().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes() if len(flat) else b""


def _arrays(described: list[Any], data: memoryview) -> list[Tensor]:
    """Return the arrays whose bytes follow one another in `data`: no more of them than came."""
    arrays, start = [], 0
    for item in described:
        if type(item) is not list or len(item) != 2 or type(item[0]) is not str or item[0] not in DTYPES:
            raise Unreadable("no array")
        dtype, shape = DTYPES[item[0]], _shape(item[1])
        size = math.prod(shape) * dtype.itemsize
        if start + size > len(data):
            raise Unreadable("an array without its bytes")
        flat = torch.frombuffer(bytearray(data[start : start + size]), dtype=torch.uint8) if size else torch.empty(0)
        values = flat.ne(0) if dtype == torch.bool else flat.to(dtype) if not size else flat.view(dtype)
        arrays.append(values.reshape(shape))
        start += size
    if start != len(data):
        raise Unreadable("bytes without an array")
    return arrays


def connection() -> tuple[socket.socket, socket.socket]:
    """Return the two ends of a new connection within this machine."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)


def close_files(files: list[int]) -> None:
    """Close descriptors that came and are not wanted."""
    for file in files:
        with contextlib.suppress(OSError):
            os.close(file)
