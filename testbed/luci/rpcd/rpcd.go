// Package rpcd stands in for uhttpd's and rpcd's side of LuCI: JSON-RPC over HTTP to ubus, with sessions whose rights
// come from the files of /usr/share/rpcd/acl.d, and plug-ins that are programs. Calls of other objects go to a real
// ubus.
//
// Its rules are those of openwrt/rpcd (session.c, plugin.c) and of uhttpd's ubus module: a call is refused with the
// JSON-RPC error -32002 unless the session has the right "object/method"; a call that ubus refuses has its status as
// the first item of the result, and what the object said as the second; each call has the argument ubus_rpc_session
// added.
package rpcd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"slices"

	"wguplink/agent/ubus"
)

// Access is a file of acl.d: by name of the group, what it may do for those who read, and those who write too.
type Access map[string]struct {
	Description string `json:"description"`
	Read        rights `json:"read"`
	Write       rights `json:"write"`
}

type rights struct {
	Ubus map[string][]string `json:"ubus"`
	UCI  []string            `json:"uci"`
	File map[string][]string `json:"file"`
}

// Load reads all files of an acl.d. A member that rpcd does not know is an error: it would be without effect there.
func Load(dir fs.FS) (Access, error) {
	names, err := fs.Glob(dir, "*.json")
	if err != nil {
		return nil, err
	}
	all := Access{}
	for _, name := range names {
		raw, err := fs.ReadFile(dir, name)
		if err != nil {
			return nil, err
		}
		var one Access
		if err := json.Unmarshal(raw, &one); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for group, access := range one {
			all[group] = access
		}
	}
	return all, nil
}

// Session is a logged-in user: for each group, whether it may write beside reading. Groups that are not named are not
// granted.
type Session map[string]bool

// May tells whether a session may call a method of an object on ubus, by glob patterns as rpcd has them.
func (a Access) May(s Session, object, method string) bool {
	return a.any(s, func(r rights) bool {
		for pattern, methods := range r.Ubus {
			if ok, _ := path.Match(pattern, object); ok && slices.ContainsFunc(methods, func(m string) bool {
				ok, _ := path.Match(m, method)
				return ok
			}) {
				return true
			}
		}
		return false
	})
}

// MayUCI tells whether a session may read a UCI package.
func (a Access) MayUCI(s Session, name string) bool {
	return a.any(s, func(r rights) bool { return slices.Contains(r.UCI, name) })
}

// MayFile tells whether a session has any right on a file.
func (a Access) MayFile(s Session) bool {
	return a.any(s, func(r rights) bool { return len(r.File) > 0 })
}

func (a Access) any(s Session, has func(rights) bool) bool {
	for group, write := range s {
		if g, ok := a[group]; ok && (has(g.Read) || write && has(g.Write)) {
			return true
		}
	}
	return false
}

// Object is one that the server itself has: a method gives its answer and a status.
type Object func(ctx context.Context, s Session, method string, args map[string]any) (any, ubus.Status)

// Server answers POST requests at uhttpd's path for ubus.
type Server struct {
	Access   Access
	Sessions map[string]Session // by id
	Objects  map[string]Object
	// Plugins are programs below /usr/libexec/rpcd, by object: Exec runs one with arguments and input, as rpcd does,
	// and gives its standard output.
	Plugins map[string]func(ctx context.Context, args []string, input []byte) ([]byte, error)
	// Call calls another object on ubus.
	Call func(ctx context.Context, object, method string, args ubus.Table) (ubus.Table, error)
}

type request struct {
	Version string            `json:"jsonrpc"`
	ID      json.RawMessage   `json:"id"`
	Method  string            `json:"method"`
	Params  []json.RawMessage `json:"params"`
}

type response struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Result  any             `json:"result,omitempty"`
	Error   *rpcError       `json:"error,omitempty"`
}

type rpcError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

var (
	errParse  = &rpcError{-32700, "Parse error"}
	errParams = &rpcError{-32602, "Invalid parameters"}
	errMethod = &rpcError{-32601, "Method not found"}
	errAccess = &rpcError{-32002, "Access denied"}
)

// maxBody is how large a request may be, in bytes.
const maxBody = 1 << 20

// ServeHTTP takes one call or a batch.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil || r.Method != http.MethodPost {
		http.Error(w, "a POST request is needed", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	var batch []request
	if json.Unmarshal(raw, &batch) == nil {
		answers := []response{}
		for _, one := range batch {
			answers = append(answers, s.answer(r.Context(), one))
		}
		json.NewEncoder(w).Encode(answers)
		return
	}
	var one request
	if err := json.Unmarshal(raw, &one); err != nil {
		json.NewEncoder(w).Encode(response{Version: "2.0", ID: json.RawMessage("null"), Error: errParse})
		return
	}
	json.NewEncoder(w).Encode(s.answer(r.Context(), one))
}

func (s *Server) answer(ctx context.Context, r request) response {
	out := response{Version: "2.0", ID: r.ID}
	var sid, object, method string
	args := map[string]any{}
	if r.Method != "call" {
		out.Error = errMethod
		return out
	}
	if len(r.Params) != 4 || json.Unmarshal(r.Params[0], &sid) != nil || json.Unmarshal(r.Params[1], &object) != nil ||
		json.Unmarshal(r.Params[2], &method) != nil || json.Unmarshal(r.Params[3], &args) != nil {
		out.Error = errParams
		return out
	}
	session, ok := s.Sessions[sid]
	if own := object == "session" && method == "access"; !ok || !own && !s.Access.May(session, object, method) {
		out.Error = errAccess
		return out
	}
	args["ubus_rpc_session"] = sid
	data, status := s.call(ctx, session, object, method, args)
	result := []any{status}
	if data != nil {
		result = append(result, data)
	}
	out.Result = result
	return out
}

func (s *Server) call(ctx context.Context, session Session, object, method string,
	args map[string]any) (any, ubus.Status) {
	if o := s.Objects[object]; o != nil {
		return o(ctx, session, method, args)
	}
	raw, err := json.Marshal(args)
	if err != nil {
		return nil, ubus.StatusInvalidArgument
	}
	if exec := s.Plugins[object]; exec != nil {
		return s.plugin(ctx, exec, method, raw)
	}
	table, err := ubus.TableFromJSON(raw)
	if err != nil {
		return nil, ubus.StatusInvalidArgument
	}
	answer, err := s.Call(ctx, object, method, table)
	status := ubus.StatusOK
	if err != nil && !errors.As(err, &status) {
		status = ubus.StatusUnknownError
	}
	if answer == nil {
		return nil, status
	}
	return answer, status
}

// plugin asks for the methods first, as rpcd does when it starts: only those are there.
func (s *Server) plugin(ctx context.Context, exec func(context.Context, []string, []byte) ([]byte, error),
	method string, input []byte) (any, ubus.Status) {
	var methods map[string]map[string]any
	out, err := exec(ctx, []string{"list"}, nil)
	if err != nil || json.Unmarshal(out, &methods) != nil {
		return nil, ubus.StatusNotFound
	}
	if _, ok := methods[method]; !ok {
		return nil, ubus.StatusMethodNotFound
	}
	out, err = exec(ctx, []string{"call", method}, input)
	var answer map[string]any
	if err != nil || json.Unmarshal(out, &answer) != nil {
		return nil, ubus.StatusInvalidArgument
	}
	return answer, ubus.StatusOK
}
