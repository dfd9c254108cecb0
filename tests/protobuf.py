# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Protocol buffers, read: what --pftrace writes."""


def fields(data):
    """(number, value) of each field of a message."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        elif key & 7 in (1, 2):
            length = 8 if key & 7 == 1 else varint()
            yield key >> 3, data[at:at + length]
            at += length
        else:
            raise AssertionError(f'field {key}')


def events(data):
    """{track: its name} and the events of a trace, each a list of fields."""
    named, happened = {}, []
    for number, packet in fields(data):
        if number != 1:
            raise AssertionError(f'field {number}')
        packet = dict(fields(packet))
        if 60 in packet:
            track = dict(fields(packet[60]))
            named[track[1]] = track
        else:
            happened.append(list(fields(packet[11])))
    return named, happened
