package uci

import (
	"bytes"
	"strconv"
	"strings"
)

// file gives the package as it is written to its file: an empty line before each section and at the end.
func (p *pkg) file() []byte {
	var b bytes.Buffer
	for _, s := range p.sections {
		b.WriteString("\nconfig ")
		b.WriteString(typeWord(s.typ))
		if !s.anonymous {
			b.WriteString(" " + quote(s.name))
		}
		b.WriteByte('\n')
		for _, o := range s.options {
			keyword := "\toption "
			if o.list {
				keyword = "\tlist "
			}
			for _, v := range o.values {
				b.WriteString(keyword + o.name + " " + quote(v) + "\n")
			}
		}
	}
	b.WriteByte('\n')
	return b.Bytes()
}

// export gives the package as "uci export" prints it.
func (p *pkg) export() []byte { return append([]byte("package "+p.name+"\n"), p.file()...) }

// show gives the package as "uci show" prints it: sections without a name go by type and index.
func (p *pkg) show() []byte {
	var b bytes.Buffer
	of := map[string]int{}
	for _, s := range p.sections {
		name := p.name + "." + s.name
		if s.anonymous {
			name = p.name + ".@" + s.typ + "[" + strconv.Itoa(of[s.typ]) + "]"
		}
		of[s.typ]++
		b.WriteString(name + "=" + s.typ + "\n")
		for _, o := range s.options {
			b.WriteString(name + "." + o.name + "=")
			for i, v := range o.values {
				if i > 0 {
					b.WriteByte(' ')
				}
				b.WriteString(quote(v))
			}
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// typeWord gives a type bare, as libuci does, if it can be read back like that.
func typeWord(typ string) string {
	if strings.ContainsAny(typ, `'"\;#`) {
		return quote(typ)
	}
	return typ
}
