package manual

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"github.com/AutumnsGrove/Patina/backup"
	"github.com/AutumnsGrove/Patina/web/ui"
)

// What is here makes the words of commands. Each result is one line, and goes
// through sh before it stands in a command.

// base is what the names of a copy's files begin with: never with a dash, which
// programs take for an option.
func base(c *backup.Copy) string {
	name := c.DatabaseName + "-" + c.Date.String()
	if strings.HasPrefix(name, "-") {
		name = "_" + name
	}
	return name
}

// fileName is the file that a copy is downloaded into.
func fileName(c *backup.Copy) string {
	if c.Compression == backup.Gzip {
		return ui.FileName(base(c) + ".sql.gz")
	}
	return sqlName(c)
}

// sqlName is the copy's file once it is unpacked.
func sqlName(c *backup.Copy) string { return ui.FileName(base(c) + ".sql") }

// d1Name is the file that D1's importer takes. Nothing else ends like it.
func d1Name(c *backup.Copy) string { return ui.FileName(base(c) + ".d1.sql") }

func tableName(table string, c *backup.Copy) string {
	return ui.FileName(base(c) + "-" + table + ".d1.sql")
}

func downloadPath(c *backup.Copy) string {
	return "/download/" + c.Date.String() + "/" + ui.Ref(c.DatabaseName, c.DatabaseID) + "?backup=" + c.ID
}

// largest is the table that stands as the example.
func largest(c *backup.Copy) string {
	if t := tables(c); len(t) > 0 {
		return t[0].Name
	}
	return "TABLE"
}

// beside is the name of a table that is loaded beside the old one.
func beside(table string, c *backup.Copy) string {
	return table + "_restored_" + strings.ReplaceAll(c.Date.String(), "-", "")
}

// archived tells whether a copy is in a weekly archive alone.
func archived(c *backup.Copy) bool { return c.Location() == backup.InArchive }

// packed tells whether what comes out of the bucket must be unpacked first.
func packed(c *backup.Copy) bool { return c.Compression == backup.Gzip && !archived(c) }

func archiveKey(c *backup.Copy) string { return "weekly/" + c.Archived.Week + ".tar.gz" }

// where says where a copy lies in the bucket.
func where(c *backup.Copy) string {
	if archived(c) {
		return archiveKey(c) + ", in it " + c.Archived.Name
	}
	return c.Key
}

// sqlSum is the SHA-256 of the unpacked copy.
func sqlSum(c *backup.Copy) string {
	if c.Manifest != nil && c.Manifest.SQLSHA256 != "" {
		return c.Manifest.SQLSHA256
	}
	return c.SHA256
}

// fetch gives the commands that take a copy out of the bucket, whose URL is
// known, each by itself.
func fetch(bucket string, c *backup.Copy) []string {
	key, file := c.Key, fileName(c)
	if archived(c) {
		key, file = archiveKey(c), ui.FileName(c.Archived.Week+".tar.gz")
	}
	scheme, rest, _ := strings.Cut(bucket, "://")
	name, query, _ := strings.Cut(rest, "?")
	var out []string
	switch scheme {
	case "file":
		out = []string{"cp " + sh(strings.TrimSuffix(name, "/")+"/"+key) + " " + sh(file)}
	case "s3":
		line := "aws s3 cp " + sh("s3://"+name+"/"+key) + " " + sh(file)
		if q, err := url.ParseQuery(query); err == nil && q.Get("endpoint") != "" {
			line += " --endpoint-url " + sh(q.Get("endpoint"))
		}
		out = []string{line}
	default:
		out = []string{
			"npx wrangler r2 object get " + sh(name+"/"+key) + " --remote --file=" + sh(file),
			"aws s3 cp " + sh("s3://"+name+"/"+key) + " " + sh(file) + " --endpoint-url https://ACCOUNT_ID.r2.cloudflarestorage.com",
		}
	}
	if archived(c) {
		out = append(out, "tar -xzOf "+sh(file)+" "+sh(c.Archived.Name)+" > "+sh(sqlName(c)))
	}
	return out
}

// unframe is an awk program that drops the header and the framing of a dump,
// which have so many lines each, and the footer.
func unframe(c *backup.Copy) string {
	head := 7 // five lines of header, PRAGMA foreign_keys=OFF and BEGIN TRANSACTION
	if c.Manifest != nil {
		head += len(c.Manifest.Redactions)
	}
	// The last six are COMMIT, PRAGMA foreign_keys=ON and four lines of footer.
	return fmt.Sprintf("NR>%d{if(n>5)print b[n%%6];b[n++%%6]=$0}", head)
}

// object writes names and values as an object of JSON, in their order.
func object(pairs ...string) (string, error) {
	var b strings.Builder
	for i, s := range pairs {
		text, err := json.Marshal(ui.Name(s))
		if err != nil {
			return "", err
		}
		b.WriteByte("{:,:"[min(i, 2+i%2)])
		b.Write(text)
	}
	return b.String() + "}", nil
}
