import FoundationEssentials
package import JOSE
import OpenSSL

/// Seals every secret of a store anew, under another master key.
///
/// Row by row, each with its audit record in one transaction. Each row names the key that sealed it, so what was
/// interrupted is taken up where it stopped. Nobody else may write the store meanwhile: a broker seals with one key, and
/// would go on sealing with the old one.
package struct Rewrap: Sendable {
    private let store: any SealedRowStore
    private let old: MasterKey
    private let new: MasterKey
    private let clock: any BrokerClock

    package struct Outcome: Sendable, Hashable {
        package let resealed: Int
        /// Rows that the new key had sealed before.
        package let alreadySealed: Int

        package init(resealed: Int, alreadySealed: Int) {
            self.resealed = resealed
            self.alreadySealed = alreadySealed
        }
    }

    package init(_ store: any SealedRowStore, from old: MasterKey, to new: MasterKey, clock: any BrokerClock) {
        self.store = store
        self.old = old
        self.new = new
        self.clock = clock
    }

    /// - Throws: before anything is changed where a row opens with neither key.
    package func run(by caller: Caller) async throws(RewrapFailure) -> Outcome {
        let rows = try await rows()
        for row in rows { _ = try open(row) }
        let trace = TraceID(at: clock.now)
        var resealed = 0
        for row in rows where row.masterKeyID != new.id {
            try await reseal(row, by: caller, under: trace)
            resealed += 1
        }
        // What counts is what the store has now: the old key is given up on this word.
        for row in try await self.rows() {
            guard row.masterKeyID == new.id else { throw .otherKey(row.name, row.masterKeyID, [new.id]) }
            _ = try open(row)
        }
        return Outcome(resealed: resealed, alreadySealed: rows.count - resealed)
    }

    private func rows() async throws(RewrapFailure) -> [SealedRow] {
        do {
            return try await store.sealedRows()
        } catch {
            throw .store(error)
        }
    }

    private func open(_ row: SealedRow) throws(RewrapFailure) -> SecretBytes {
        guard let key = [new, old].first(where: { $0.id == row.masterKeyID }) else {
            throw .otherKey(row.name, row.masterKeyID, [old.id, new.id])
        }
        do {
            return try key.open(row.sealed, from: row.place)
        } catch {
            throw .damaged(row.name)
        }
    }

    private func reseal(_ row: SealedRow, by caller: Caller, under trace: TraceID) async throws(RewrapFailure) {
        let secret = try open(row)
        let sealed: [UInt8]
        do {
            sealed = try new.seal(secret, for: row.place)
        } catch {
            throw .sealing("\(error)")
        }
        let event = AuditEvent(
            time: clock.now, trace: trace, kind: .secretResealed, issuer: nil, subject: nil,
            details: [
                "caller": .object(caller.json), "table": .string(ExactString(row.place.table)),
                "row": .string(row.id), "before": .string(row.masterKeyID), "after": .string(new.id),
            ])
        do {
            try await store.reseal(row, as: sealed, under: new.id, event)
        } catch {
            throw .store(error)
        }
    }
}

extension SealedRow {
    /// For messages.
    package var name: String {
        switch self {
        case .signingKey: "signing key \(id)"
        case .trustBundle: "the trust bundle of \(id)"
        case .providerCredential(let credential): credential.version.name
        case .checkpointKey: "audit checkpoint key \(id)"
        case .signIn: "the sign-in of session \(id)"
        }
    }
}

/// Why not every row is sealed with the new key. What was sealed anew stays so.
package enum RewrapFailure: Error, Sendable, CustomStringConvertible {
    /// A row, what sealed it, and the keys that are at hand.
    case otherKey(String, ExactString, [ExactString])
    case damaged(String)
    case sealing(String)
    case store(StoreFailure)

    package var description: String {
        switch self {
        case .otherKey(let row, let sealer, let have):
            "\(row) was sealed with master key \(sealer), and here are only \(have.map(\.string).joined(separator: ", "))"
        case .damaged(let row): "\(row) does not open: its row was altered or damaged"
        case .sealing(let cause): "a row could not be sealed: \(cause)"
        case .store(let failure): "\(failure)"
        }
    }
}
