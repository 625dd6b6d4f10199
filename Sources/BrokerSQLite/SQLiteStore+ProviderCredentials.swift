package import Broker
package import FoundationEssentials
import GRDB
package import JOSE

extension SQLiteStore: ProviderCredentialStore {
    package func sealedCredentials(of provider: ProviderName) async throws(StoreFailure) -> [SealedCredential] {
        try await perform("read provider credentials") { try SealedCredential.fetchAll(of: provider, $0) }
    }

    package func credentialVersions(
        of provider: ProviderName?, after position: CredentialPosition?, limit: Int
    ) async throws(StoreFailure) -> [CredentialVersion] {
        try await perform("list provider credentials") { db in
            let (after, number) = (position?.provider.text.string ?? "", position?.number ?? 0)
            let condition = provider == nil ? "" : " AND provider = ?"
            let statement = try db.cachedStatement(
                sql: """
                    SELECT \(CredentialVersion.columns) FROM provider_credentials
                    WHERE (provider, version) > (?, ?)\(condition) ORDER BY provider, version LIMIT ?
                    """)
            var arguments: StatementArguments = [after, number]
            if let provider { arguments += [provider.text.string] }
            arguments += [limit]
            return try Row.fetchCursor(statement, arguments: arguments).mapToArray(CredentialVersion.init)
        }
    }

    package func countCredentialProviders() async throws(StoreFailure) -> Int {
        try await perform("count provider credentials") { db in
            try Int.fetchOne(db, sql: "SELECT count(DISTINCT provider) FROM provider_credentials") ?? 0
        }
    }

    package func apply(_ change: CredentialChange, _ event: AuditEvent) async throws(StoreFailure) {
        let row = AuditRow(event)
        try await write("change a provider credential") { db, audit in
            let before = try SealedCredential.fetchAll(of: change.provider, db).map(\.version)
            guard let after = change.applied(to: before) else {
                throw StoreFailure(
                    .conflict, "change a provider credential", cause: "the stored versions are in other states")
            }
            if case .add(let added) = change.step { try added.insert(db) }
            let changed = zip(before, after).filter { $0 != $1 }.map { $1 }
            // One has to make place before another is active.
            for version in changed.filter({ $0.state != .active }) + changed.filter({ $0.state == .active }) {
                try version.updateState(db)
            }
            try audit.append(row)
        }
    }

    package func record(_ uses: [CredentialUse]) async throws(StoreFailure) {
        try await writeUnrecorded("record uses of provider credentials") { db in
            let statement = try db.cachedStatement(
                sql: """
                    UPDATE provider_credentials SET
                        first_used = min(ifnull(first_used, ?1), ?1), last_used = max(ifnull(last_used, ?2), ?2)
                    WHERE provider = ?3 AND version = ?4
                    """)
            for use in uses {
                try statement.run { binder in
                    binder.integer(use.first.milliseconds)
                    binder.integer(use.last.milliseconds)
                    binder.text(use.provider.text)
                    binder.integer(Int64(use.number))
                }
            }
        }
    }
}

extension SQLiteStore {
    /// Has no number given out again up to these, by a retired version of each that is higher than what is there. For a
    /// store that takes the place of one that had given them out.
    /// - Returns: those that were higher.
    package func skipCredentials(
        to numbers: [CredentialPosition], at time: Date, masterKeyID: ExactString
    ) async throws(StoreFailure) -> [CredentialPosition] {
        try await writeUnrecorded("skip numbers of provider credentials") { db in
            var skipped: [CredentialPosition] = []
            let last = Dictionary(try CredentialPosition.lastOfEach(db).map { ($0.provider, $0.number) }) { $1 }
            for position in numbers where position.number > last[position.provider] ?? 0 {
                let version = CredentialVersion(
                    provider: position.provider, number: position.number, state: .retired,
                    masterKeyID: masterKeyID, created: time, since: time, caller: .daemon)
                try SealedCredential(version, sealed: []).insert(db)
                skipped.append(position)
            }
            return skipped
        }
    }
}

extension CredentialPosition {
    /// The last version of each provider; none in a store that is older than credentials are.
    static func lastOfEach(_ db: Database) throws -> [CredentialPosition] {
        guard try db.tableExists("provider_credentials") else { return [] }
        let sql = "SELECT provider, max(version) FROM provider_credentials GROUP BY provider ORDER BY provider"
        return try Row.fetchCursor(db, sql: sql).mapToArray { row in
            guard let provider = ProviderName(parsing: try row.requiredText(0).string),
                let number = Int(exactly: try row.integer(1)), CredentialVersion.numbers.contains(number)
            else {
                throw StoreFailure(.unreadable, "read provider credentials", cause: "a credential has an unknown form")
            }
            return CredentialPosition(provider, number)
        }
    }
}

extension CredentialVersion {
    fileprivate static let columns =
        "provider, version, state, master_key_id, created, since, first_used, last_used, caller"

    fileprivate init(_ row: Row) throws {
        guard let provider = ProviderName(parsing: try row.requiredText(0).string),
            let number = Int(exactly: try row.integer(1)), CredentialVersion.numbers.contains(number),
            let state = State(rawValue: try row.requiredText(2).string), let caller = Caller(try row.object(8))
        else {
            throw StoreFailure(.unreadable, "read provider credentials", cause: "a credential has an unknown form")
        }
        self.init(
            provider: provider, number: number, state: state, masterKeyID: try row.requiredText(3),
            created: try row.date(4), since: try row.date(5), firstUsed: try row.optionalDate(6),
            lastUsed: try row.optionalDate(7), caller: caller)
    }

    /// What a version has no use for any more is erased.
    fileprivate func updateState(_ db: Database) throws {
        let erasing = state == .retired ? ", sealed = x''" : ""
        try db.cachedStatement(
            sql: "UPDATE provider_credentials SET state = ?, since = ?\(erasing) WHERE provider = ? AND version = ?"
        ).run { binder in
            binder.text(state.rawValue)
            binder.integer(since.milliseconds)
            binder.text(provider.text)
            binder.integer(Int64(number))
        }
    }
}

extension SealedCredential {
    private static let selection = "SELECT \(CredentialVersion.columns), sealed FROM provider_credentials"

    fileprivate static func fetchAll(of provider: ProviderName, _ db: Database) throws -> [SealedCredential] {
        let statement = try db.cachedStatement(sql: "\(selection) WHERE provider = ? ORDER BY version")
        return try Row.fetchCursor(statement, arguments: [provider.text.string]).mapToArray(SealedCredential.init)
    }

    /// Those of all providers that are not retired.
    static func fetchLive(_ db: Database) throws -> [SealedCredential] {
        let statement = try db.cachedStatement(sql: "\(selection) WHERE state <> 'retired' ORDER BY provider, version")
        return try Row.fetchCursor(statement).mapToArray(SealedCredential.init)
    }

    private init(_ row: Row) throws {
        self.init(try CredentialVersion(row), sealed: row.bytes(9) ?? [])
    }

    fileprivate func insert(_ db: Database) throws {
        try db.cachedStatement(
            sql: """
                INSERT INTO provider_credentials
                    (provider, version, state, sealed, master_key_id, created, since, caller)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                """
        ).run { binder in
            binder.text(version.provider.text)
            binder.integer(Int64(version.number))
            binder.text(version.state.rawValue)
            binder.blob(sealed)
            binder.text(version.masterKeyID)
            binder.integer(version.created.milliseconds)
            binder.integer(version.since.milliseconds)
            binder.text(utf8: version.caller.json.encoded())
        }
    }
}
