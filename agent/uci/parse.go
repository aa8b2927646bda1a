package uci

// parser fills a package from the text of its file.
type parser struct {
	*lexer
	pkg     *pkg
	section *section // the options to come belong here
}

// parse reads the file of the named package. The error is a *ParseError.
func parse(name string, text []byte) (*pkg, error) {
	p := parser{lexer: newLexer(text), pkg: &pkg{name: name}}
	for p.next() {
		p.space()
		if err := p.statements(); err != nil {
			return nil, err
		}
	}
	return p.pkg, nil
}

// statements reads those of one line.
func (p *parser) statements() error {
	for {
		word, end := p.keyword()
		if word == "" || word[0] == '#' {
			return nil
		}
		var err error
		switch word {
		case "p", "package":
			err = p.header(end)
		case "c", "config":
			err = p.config(end)
		case "o", "option":
			err = p.option(end, false)
		case "l", "list":
			err = p.option(end, true)
		default:
			err = p.fail("invalid command")
		}
		if err != nil {
			return err
		}
	}
}

// enter goes past the keyword that ends at end.
func (p *parser) enter(end int, word string) error {
	if end == len(p.line) {
		return p.fail(word + " without name")
	}
	p.pos = end + 1
	return nil
}

// name reads a word that must be valid, and must be there if it is required.
func (p *parser) name(required bool, valid func(string) bool) (string, error) {
	word, err := p.word()
	switch {
	case err != nil:
		return "", err
	case word == "" && required:
		return "", p.fail("insufficient arguments")
	case word != "" && !valid(word):
		return "", p.fail("invalid character in name field")
	}
	return word, nil
}

// end makes sure that the statement has no more words.
func (p *parser) end() error {
	word, err := p.word()
	if err == nil && word != "" {
		err = p.fail("too many arguments")
	}
	return err
}

func (p *parser) header(end int) error {
	if err := p.enter(end, "package"); err != nil {
		return err
	}
	if _, err := p.name(true, validHeader); err != nil {
		return err
	}
	return p.end()
}

func (p *parser) config(end int) error {
	if err := p.enter(end, "config"); err != nil {
		return err
	}
	typ, err := p.name(true, func(string) bool { return true })
	if err != nil {
		return err
	}
	if !validType(typ) {
		return p.fail("invalid character in type field")
	}
	name, err := p.name(false, validName)
	if err != nil {
		return err
	}
	if err := p.end(); err != nil {
		return err
	}
	if p.section = p.pkg.lookup(name); p.section == nil {
		p.section = p.pkg.add(name, typ)
	} else if p.section.typ != typ {
		return p.fail("section of different type overwrites prior section with same name")
	}
	return nil
}

func (p *parser) option(end int, list bool) error {
	if p.section == nil {
		return p.fail("option/list command found before the first section")
	}
	if err := p.enter(end, "option"); err != nil {
		return err
	}
	name, err := p.name(true, validName)
	if err != nil {
		return err
	}
	value, err := p.word()
	if err != nil {
		return err
	}
	if err := p.end(); err != nil {
		return err
	}
	switch {
	case list:
		p.section.append(name, value)
	case value != "":
		p.section.set(name, false, value)
	}
	return nil
}
