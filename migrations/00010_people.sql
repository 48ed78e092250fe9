-- +goose Up

-- Each time somebody signed in, for as long as that lasts. Whoever has no row
-- here is signed out, whatever cookie they carry.
CREATE TABLE sign_ins (
    id         uuid PRIMARY KEY,
    user_id    uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    epoch      integer NOT NULL, -- of the person, then; in a later one it has ended
    method     text NOT NULL CHECK (method IN ('password', 'link', 'single sign-on')),
    created_at timestamptz NOT NULL,
    seen_at    timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ip         text NOT NULL DEFAULT '',
    user_agent text NOT NULL DEFAULT ''
);
CREATE INDEX sign_ins_user ON sign_ins (user_id, created_at DESC);
CREATE INDEX sign_ins_expires ON sign_ins (expires_at);

-- The one link by which a person may set a password, once. Only its hash is kept.
CREATE TABLE password_links (
    user_id    uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    sha256     bytea NOT NULL UNIQUE,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);

-- Who a person is to an OpenID Connect issuer.
CREATE TABLE identities (
    issuer     text NOT NULL,
    subject    text NOT NULL,
    user_id    uuid NOT NULL,
    email      text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL,
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX identities_user ON identities (user_id);
