package people

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
)

// MaxPhoto is how many bytes the image of a person may have: enough for a face,
// little enough for clients to fetch many (XEP-0153 §3.1 asks for 8 KB or less).
const MaxPhoto = 64 << 10

// Photo is what is known of the image of a person; the image itself is on disk.
type Photo struct {
	Type string `json:"type"` // its media type
	SHA1 string `json:"sha1"` // lower-case hex (XEP-0153 §3.1)
	Size int    `json:"size"` // bytes
}

// imageType tells the media types that every client shows, "" for all else.
func imageType(image []byte) string {
	switch {
	case bytes.HasPrefix(image, []byte("\x89PNG\r\n\x1a\n")):
		return "image/png"
	case bytes.HasPrefix(image, []byte("\xff\xd8\xff")):
		return "image/jpeg"
	case bytes.HasPrefix(image, []byte("GIF87a")), bytes.HasPrefix(image, []byte("GIF89a")):
		return "image/gif"
	case len(image) > 12 && string(image[:4]) == "RIFF" && string(image[8:12]) == "WEBP":
		return "image/webp"
	}
	return ""
}

// SetPhoto gives a person an image; an empty one takes it away.
func (e *Edit) SetPhoto(id string, image []byte) error {
	old := e.Person(id)
	if old == nil {
		return &Error{Text: fmt.Sprintf("There is no person %s. `doorway people list` shows those that exist.", id), Err: ErrNoPerson}
	}
	c := *old
	if len(image) == 0 {
		if old.Photo == nil {
			return nil
		}
		c.Photo, e.photos[id] = nil, nil
		e.setPerson(id, &c)
		return nil
	}
	typ := imageType(image)
	if typ == "" {
		return wrong("The photo is neither a PNG, a JPEG, a GIF nor a WebP image. Save it as one of them.")
	}
	if len(image) > MaxPhoto {
		return wrong("The photo has %d KB; at most %d KB are kept. Make it smaller: 200 by 200 pixels are enough.", len(image)>>10, MaxPhoto>>10)
	}
	sum := sha1.Sum(image)
	c.Photo = &Photo{Type: typ, SHA1: hex.EncodeToString(sum[:]), Size: len(image)}
	e.photos[id] = bytes.Clone(image)
	e.setPerson(id, &c)
	return nil
}
