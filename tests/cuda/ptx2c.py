#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""ptx2c.py: the kernels as nvcc compiled them, one C statement for each PTX instruction, so that they run without a GPU.

Usage: ptx2c.py M KERNELS.ptx KERNELS.c. Each kernel becomes a function ptx_M_WORK_SCALED(param, ctaid_x, ctaid_y, tid_x). Only what the
kernels of cuda/kernels.cu consist of is known; anything else is an error.
"""
import re
import sys

TYPES = {"pred": "uint8_t", "b16": "uint16_t", "b32": "uint32_t", "b64": "uint64_t", "u8": "uint8_t", "u16": "uint16_t", "u32": "uint32_t",
         "u64": "uint64_t", "s16": "int16_t", "s32": "int32_t", "s64": "int64_t"}
BINARY = {"add": "+", "sub": "-", "mul.lo": "*", "and": "&", "or": "|", "xor": "^", "div": "/", "rem": "%"}
COMPARE = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "lo": "<", "ls": "<=", "hi": ">", "hs": ">="}


def operand(text, param):
    text = text.strip()
    if text == param:
        return "param"
    special = {"%tid.x": "tid_x", "%ctaid.x": "ctaid_x", "%ctaid.y": "ctaid_y"}
    if text in special:
        return special[text]
    if m := re.fullmatch(r"%(p|rs|rd|r)(\d+)", text):
        return f"{m[1]}[{m[2]}]"
    if re.fullmatch(r"-?\d+|0x[0-9a-fA-F]+", text):
        return text
    raise ValueError(f"operand {text}")


def address(text, param):
    base, _, offset = text.strip().strip("[]").partition("+")
    return f"{operand(base, param)} + ({offset or 0})"


def operands(text):
    return [part for part in re.findall(r"\{[^}]*\}|\[[^\]]*\]|[^,\s]+", text)]


def memory(op, args, param):
    kind = TYPES[op.rsplit(".", 1)[1]]
    load = op.startswith("ld")
    names = args[0 if load else 1].strip("{}").split(",")
    where = address(args[1 if load else 0], param)
    out = []
    for i, name in enumerate(names):
        place = f"*({kind} *)(uintptr_t)({where} + {i} * sizeof({kind}))"
        out.append(f"{operand(name, param)} = {place};" if load else f"{place} = ({kind}){operand(name, param)};")
    return " ".join(out)


def arithmetic(op, args, param):
    a = [operand(v, param) for v in args]
    head, _, last = op.rpartition(".")
    kind = TYPES[last]
    if head in BINARY:
        return f"{a[0]} = (uint64_t)(({kind}){a[1]} {BINARY[head]} ({kind}){a[2]});"
    if head == "lop3":
        terms = " | ".join("(" + " & ".join(("" if i >> s & 1 else "~") + v for s, v in ((2, a[1]), (1, a[2]), (0, a[3]))) + ")"
                           for i in range(8) if int(args[4], 0) >> i & 1)
        return f"{a[0]} = {terms or 0};"
    if head in ("mov", "cvta.to.global"):
        return f"{a[0]} = {a[1]};"
    if head in ("not", "neg"):
        return f"{a[0]} = {'~' if head == 'not' else '0 - '}({kind}){a[1]};"
    if head in ("shl", "shr"):
        return f"{a[0]} = {a[2]} > {int(last[1:]) - 1} ? 0 : ({kind}){a[1]} {'<<' if head == 'shl' else '>>'} {a[2]};"
    if head == "mul.wide":
        wide = TYPES[last[0] + str(2 * int(last[1:]))]
        return f"{a[0]} = ({wide})({kind}){a[1]} * ({wide})({kind}){a[2]};"
    if head == "mad.lo":
        return f"{a[0]} = ({kind}){a[1]} * ({kind}){a[2]} + ({kind}){a[3]};"
    if head == "selp":
        return f"{a[0]} = {a[3]} ? {a[1]} : {a[2]};"
    if m := re.fullmatch(r"setp\.(\w+)", head):
        return f"{a[0]} = ({kind}){a[1]} {COMPARE[m[1]]} ({kind}){a[2]};"
    if m := re.fullmatch(r"cvt\.(\w+)", head):
        return f"{a[0]} = ({TYPES[m[1]]})({kind}){a[1]};"
    raise ValueError(f"instruction {op}")


def statement(line, param):
    guard = ""
    if m := re.match(r"@(!?)(%p\d+)\s+", line):
        guard = f"if ({m[1]}{operand(m[2], param)}) "
        line = line[m.end():]
    op, _, rest = line.partition(" ")
    op, args = op.strip(), operands(rest)
    if op in ("bra", "bra.uni"):
        return f"{guard}goto {args[0].lstrip('$')};"
    if op == "ret":
        return f"{guard}return;"
    if op.startswith(("ld.param", "ld.global", "st.global")):
        return f"{guard}{{ {memory(op, args, param)} }}"
    return guard + arithmetic(op, args, param)


def kernel(m, text):
    name = re.search(r"\.entry (\w+)", text)[1]
    work, scaled = re.search(r"ILi(\d)ELb(\d)E", name).groups()
    param = name + "_param_0"
    print(f"void ptx_{m}_{work}_{scaled}(uint64_t param, uint32_t ctaid_x, uint32_t ctaid_y, uint32_t tid_x)\n{{")
    body = re.sub(r"//[^\n]*", "", text[text.index("\n{") + 2:text.rindex("}")])
    for part in re.findall(r"\$\w+:|[^;:$]*(?:\$\w+)?[^;:]*;", body):
        line = " ".join(part.split()).rstrip(";").strip()
        if not line or line.startswith(".pragma"):
            continue
        if line.endswith(":"):
            print(f"{line.lstrip('$')};")
        elif line.startswith(".reg"):
            kind, letters, count = re.fullmatch(r"\.reg \.(\w+) %(\w+)<(\d+)>", line).groups()
            print(f"    {TYPES[kind]} {letters}[{count}];")
        else:
            print("    " + statement(line, param))
    print("}\n")


def main():
    text = open(sys.argv[2], encoding="utf-8").read()
    sys.stdout = open(sys.argv[3], "w", encoding="utf-8")
    print("#include <stdint.h>\n")
    for part in re.split(r"(?=\.visible \.entry|\.entry)", text)[1:]:
        if part.startswith((".visible .entry", ".entry")) and "_param_0" in part:
            kernel(sys.argv[1], part)


if __name__ == "__main__":
    main()
