import Broker
import GRDB
import Logging

/// The tables, and how older files get them. A file's header says what it is: `application_id` that it is a store of
/// ours, `user_version` with which tables.
enum Schema {
    /// "DyPs".
    static let applicationID = 0x4479_5073
    /// How many of the migrations are in a file that is up to date.
    static var version: Int { migrations.count }

    /// - Throws: `.unreadable` where the file is another program's, or a newer version's.
    static func recognise(_ db: Database, _ path: String, _ opening: SQLiteStore.Opening) throws {
        let found = try Int.fetchOne(db, sql: "PRAGMA application_id") ?? 0
        let foundVersion = try userVersion(db)
        let isBlank =
            try found == 0 && foundVersion == 0 && Int.fetchOne(db, sql: "SELECT count(*) FROM sqlite_schema") == 0
        guard found == applicationID || (isBlank && opening == .creating) else {
            throw StoreFailure(
                .unreadable, "open the store", cause: "\(path) is an SQLite database, but not one of Daypass")
        }
        guard foundVersion <= version else {
            throw StoreFailure(
                .unreadable, "open the store",
                cause:
                    "\(path) was made by a newer version of Daypass (schema \(foundVersion); this one knows \(version))"
            )
        }
    }

    /// Runs what the file lacks, each step in a transaction.
    /// - Parameters:
    ///   - target: the version at which it stops.
    ///   - logger: told of steps that take long.
    static func migrate(_ db: Database, to target: Int = version, logger: Logger? = nil) throws {
        for step in try max(0, userVersion(db))..<target {
            try db.inTransaction(.immediate) {
                try migrations[step](db, logger)
                try db.execute(
                    sql: "PRAGMA application_id = \(applicationID); PRAGMA user_version = \(step + 1)")
                return .commit
            }
        }
    }

    static func userVersion(_ db: Database) throws -> Int {
        try Int.fetchOne(db, sql: "PRAGMA user_version") ?? 0
    }

    /// Times are in milliseconds since 1970. A migration that was released is never edited.
    private static let migrations: [@Sendable (Database, Logger?) throws -> Void] = [
        { db, _ in try db.execute(sql: firstTables) },
        { db, _ in try db.execute(sql: lineageAndUses) },
        { db, _ in try optionalIssuer(db) },
        { db, _ in try db.execute(sql: binding) },
        { db, _ in try db.execute(sql: trustBundles) },
        { db, _ in try db.execute(sql: keyTimes) },
        { db, _ in try db.execute(sql: generation) },
        { db, _ in try db.execute(sql: revocations) },
        { db, _ in try db.execute(sql: providerCredentials) },
        AuditMigration.run,
        { db, _ in try db.execute(sql: auditIndex) },
        { db, _ in try db.execute(sql: LastCheckpoint.table) },
        { db, _ in try db.execute(sql: signIns) },
    ]

    private static let firstTables =
        """
        CREATE TABLE signing_keys (
            key_id TEXT NOT NULL PRIMARY KEY,
            algorithm TEXT NOT NULL,
            state TEXT NOT NULL,
            sealed BLOB NOT NULL,
            master_key_id TEXT NOT NULL,
            created INTEGER NOT NULL
        ) STRICT;
        CREATE UNIQUE INDEX signing_keys_active ON signing_keys (state) WHERE state = 'active';

        CREATE TABLE issuers (
            name TEXT NOT NULL PRIMARY KEY,
            issuer TEXT NOT NULL
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE sessions (
            id TEXT NOT NULL PRIMARY KEY,
            issuer TEXT NOT NULL,
            subject TEXT NOT NULL,
            rule TEXT NOT NULL,
            start INTEGER NOT NULL,
            "end" INTEGER NOT NULL,
            claims TEXT NOT NULL
        ) STRICT;

        CREATE TABLE audit (
            sequence INTEGER PRIMARY KEY AUTOINCREMENT,
            time INTEGER NOT NULL,
            trace TEXT NOT NULL,
            kind TEXT NOT NULL,
            issuer TEXT NOT NULL,
            subject TEXT,
            rule TEXT,
            session TEXT,
            token TEXT,
            reason TEXT,
            details TEXT NOT NULL
        ) STRICT;
        CREATE INDEX audit_trace ON audit (trace);
        """

    /// The key of `uses` begins with a time: rows that are written together stand together.
    private static let lineageAndUses =
        """
        ALTER TABLE sessions ADD COLUMN lineage TEXT NOT NULL DEFAULT '';
        UPDATE sessions SET lineage = id;
        ALTER TABLE sessions ADD COLUMN actor TEXT;

        CREATE TABLE uses (
            expires INTEGER NOT NULL,
            token BLOB NOT NULL,
            joining TEXT NOT NULL,
            session TEXT NOT NULL,
            count INTEGER NOT NULL,
            PRIMARY KEY (expires, token, joining)
        ) STRICT, WITHOUT ROWID;
        """

    /// SHA-256 of the certificate that the session's tokens are bound to.
    private static let binding = "ALTER TABLE sessions ADD COLUMN binding BLOB"

    /// `sequence` in decimal digits: it has 64 bits without a sign.
    private static let trustBundles =
        """
        CREATE TABLE trust_bundles (
            trust_domain TEXT NOT NULL PRIMARY KEY,
            endpoint TEXT NOT NULL,
            sequence TEXT,
            sealed BLOB NOT NULL,
            master_key_id TEXT NOT NULL,
            updated INTEGER NOT NULL
        ) STRICT
        """

    /// When a key began to sign, stopped, and was retired or compromised.
    private static let keyTimes =
        """
        ALTER TABLE signing_keys ADD COLUMN activated INTEGER;
        ALTER TABLE signing_keys ADD COLUMN stopped INTEGER;
        ALTER TABLE signing_keys ADD COLUMN ended INTEGER;
        UPDATE signing_keys SET activated = created WHERE state = 'active';
        CREATE UNIQUE INDEX signing_keys_staged ON signing_keys (state) WHERE state = 'staged'
        """

    /// What is true of the store as a whole, in one row; see `StoreGeneration`.
    private static let generation =
        """
        CREATE TABLE store (
            id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
            generation INTEGER NOT NULL,
            backed_up INTEGER,
            restored INTEGER
        ) STRICT;
        INSERT INTO store (id, generation) VALUES (1, 1);
        """

    /// `highest` is that of any revocation that was recorded, and of any session's `rev`: a number that was lost with a
    /// revocation is not given out again.
    private static let revocations =
        """
        ALTER TABLE sessions ADD COLUMN rev INTEGER NOT NULL DEFAULT 0;

        CREATE TABLE revocations (
            sequence INTEGER PRIMARY KEY,
            kind TEXT NOT NULL,
            value TEXT,
            reason TEXT,
            blocks INTEGER NOT NULL,
            until INTEGER,
            created INTEGER NOT NULL,
            caller TEXT NOT NULL,
            expires INTEGER NOT NULL
        ) STRICT;

        CREATE TABLE revocation_number (highest INTEGER NOT NULL) STRICT;
        INSERT INTO revocation_number VALUES (0);
        """

    /// `sealed` is empty where a version is retired. Rows are never deleted: no number is given twice.
    private static let providerCredentials =
        """
        CREATE TABLE provider_credentials (
            provider TEXT NOT NULL,
            version INTEGER NOT NULL,
            state TEXT NOT NULL,
            sealed BLOB NOT NULL,
            master_key_id TEXT NOT NULL,
            created INTEGER NOT NULL,
            since INTEGER NOT NULL,
            first_used INTEGER,
            last_used INTEGER,
            caller TEXT NOT NULL,
            PRIMARY KEY (provider, version)
        ) STRICT;
        CREATE UNIQUE INDEX provider_credentials_active ON provider_credentials (provider) WHERE state = 'active'
        """

    /// `generation` is that of the refresh token that is good. Of every token that there was, the digest is kept as long
    /// as the sign-in. Issuer and subject are the session's, to find a person's sign-ins by.
    private static let signIns =
        """
        CREATE TABLE sign_ins (
            session TEXT NOT NULL PRIMARY KEY,
            issuer TEXT NOT NULL,
            subject TEXT NOT NULL,
            generation INTEGER NOT NULL,
            rotated INTEGER NOT NULL,
            sealed BLOB NOT NULL,
            master_key_id TEXT NOT NULL,
            email TEXT,
            provider_session TEXT,
            device TEXT,
            program TEXT,
            "end" INTEGER NOT NULL
        ) STRICT;
        CREATE INDEX sign_ins_end ON sign_ins ("end");
        CREATE INDEX sign_ins_subject ON sign_ins (issuer, subject);
        CREATE INDEX sign_ins_provider_session ON sign_ins (provider_session);

        CREATE TABLE refresh_tokens (
            digest BLOB NOT NULL PRIMARY KEY,
            session TEXT NOT NULL,
            generation INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX refresh_tokens_session ON refresh_tokens (session)
        """

    /// See `AuditSegment`.
    private static let auditIndex =
        """
        CREATE TABLE audit_index (
            id INTEGER NOT NULL PRIMARY KEY,
            last INTEGER NOT NULL,
            earliest INTEGER NOT NULL,
            latest INTEGER NOT NULL,
            entries BLOB NOT NULL
        ) STRICT
        """

    /// Audit records that are about no token have no issuer.
    ///
    /// A column loses its constraint without a row being touched, as https://sqlite.org/lang_altertable.html has it for
    /// changes that do not affect what is on the disk: a table of millions is not copied, and sequence and index stay.
    private static func optionalIssuer(_ db: Database) throws {
        try db.execute(
            sql: """
                PRAGMA writable_schema = ON;
                UPDATE sqlite_schema SET sql = replace(sql, 'issuer TEXT NOT NULL', 'issuer TEXT')
                    WHERE type = 'table' AND name = 'audit';
                PRAGMA schema_version = \(try 1 + (Int.fetchOne(db, sql: "PRAGMA schema_version") ?? 0));
                PRAGMA writable_schema = RESET;
                """)
        let isRequired = try Bool.fetchOne(
            db, sql: "SELECT \"notnull\" FROM pragma_table_info('audit') WHERE name = 'issuer'")
        guard isRequired == false else {
            throw StoreFailure(
                .unavailable, "bring the store up to date", cause: "SQLite does not let its own schema be edited")
        }
    }
}
