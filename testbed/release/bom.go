package release

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"
)

// The part of CycloneDX 1.5 that is written: https://cyclonedx.org/docs/1.5/json/.
type bom struct {
	Format       string       `json:"bomFormat"`
	Spec         string       `json:"specVersion"`
	Serial       string       `json:"serialNumber"`
	Version      int          `json:"version"`
	Metadata     metadata     `json:"metadata"`
	Components   []component  `json:"components"`
	Dependencies []dependency `json:"dependencies"`
}

type metadata struct {
	Timestamp string    `json:"timestamp"`
	Component component `json:"component"`
}

type component struct {
	Type       string     `json:"type"`
	Ref        string     `json:"bom-ref"`
	Name       string     `json:"name"`
	Version    string     `json:"version"`
	Hashes     []hash     `json:"hashes,omitempty"`
	Licenses   []license  `json:"licenses,omitempty"`
	PURL       string     `json:"purl,omitempty"`
	Properties []property `json:"properties,omitempty"`
}

type hash struct {
	Alg     string `json:"alg"`
	Content string `json:"content"`
}

type license struct {
	License struct {
		ID string `json:"id"`
	} `json:"license"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type dependency struct {
	Ref       string   `json:"ref"`
	DependsOn []string `json:"dependsOn,omitempty"`
}

// BOM writes what is in the programs of a release as a CycloneDX document: each program with its SHA-256, and the
// modules and the version of Go that are linked into it. The same programs, version and date give the same bytes.
func BOM(programs []Program, version, commit string, date time.Time) ([]byte, error) {
	main := component{Type: "application", Ref: "wguplink@" + version, Name: "wguplink", Version: version,
		Licenses: licensed("BSD-2-Clause")}
	main.Properties = []property{{"wguplink:commit", commit}}
	doc := bom{Format: "CycloneDX", Spec: "1.5", Version: 1,
		Metadata: metadata{date.UTC().Format(time.RFC3339), main}}
	all := dependency{Ref: main.Ref}
	seen := map[string]bool{}
	add := func(path, version, kind string) string {
		purl := "pkg:golang/" + path + "@" + kind + version
		if !seen[purl] {
			seen[purl] = true
			doc.Components = append(doc.Components, component{Type: "library", Ref: purl, Name: path,
				Version: kind + version, PURL: purl})
		}
		return purl
	}
	for _, p := range programs {
		content, err := os.ReadFile(p.Path)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(content)
		c := component{Type: "application", Ref: "program:" + p.Name(), Name: p.Name(), Version: version,
			Licenses: licensed("BSD-2-Clause")}
		c.Hashes = []hash{{"SHA-256", hex.EncodeToString(sum[:])}}
		c.Properties = []property{{"wguplink:tags", p.Tags}}
		doc.Components = append(doc.Components, c)
		all.DependsOn = append(all.DependsOn, c.Ref)
		d := dependency{Ref: c.Ref, DependsOn: []string{add("std", p.Go, "")}}
		for _, m := range p.Modules {
			d.DependsOn = append(d.DependsOn, add(m.Path, m.Version, "v"))
		}
		slices.Sort(d.DependsOn)
		doc.Dependencies = append(doc.Dependencies, d)
	}
	slices.Sort(all.DependsOn)
	doc.Dependencies = append(doc.Dependencies, all)
	slices.SortFunc(doc.Components, func(a, b component) int { return cmp.Compare(a.Ref, b.Ref) })
	slices.SortFunc(doc.Dependencies, func(a, b dependency) int { return cmp.Compare(a.Ref, b.Ref) })

	// The serial number is a UUID; this one is made out of the content, in the layout of RFC 9562, version 8.
	content, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	id := sha256.Sum256(content)
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80
	doc.Serial = fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:16])
	content, err = json.MarshalIndent(doc, "", "  ")
	return append(content, '\n'), err
}

func licensed(id string) []license {
	var l license
	l.License.ID = id
	return []license{l}
}
