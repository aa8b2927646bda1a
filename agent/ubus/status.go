package ubus

import "fmt"

// Status is how a request ended (enum ubus_msg_status in ubusmsg.h). As an error it has libubus's text.
type Status uint32

const (
	StatusOK Status = iota
	StatusInvalidCommand
	StatusInvalidArgument
	StatusMethodNotFound
	StatusNotFound
	StatusNoData
	StatusPermissionDenied
	StatusTimeout
	StatusNotSupported
	StatusUnknownError
	StatusConnectionFailed
	StatusNoMemory
	StatusParseError
	StatusSystemError
)

var statusText = [...]string{
	"Success",
	"Invalid command",
	"Invalid argument",
	"Method not found",
	"Not found",
	"No response",
	"Permission denied",
	"Request timed out",
	"Operation not supported",
	"Unknown error",
	"Connection failed",
	"Out of memory",
	"Parsing message data failed",
	"System error",
}

// Error returns the text of ubus_strerror.
func (s Status) Error() string {
	if int64(s) < int64(len(statusText)) {
		return statusText[s]
	}
	return fmt.Sprintf("Unknown error: %d", uint32(s))
}

// err is nil for success: a Status in an error is never nil.
func (s Status) err() error {
	if s == StatusOK {
		return nil
	}
	return s
}
