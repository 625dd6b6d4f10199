package import Broker
import FoundationEssentials
import GRDB
package import JOSE

extension SQLiteStore: SealedRowStore {
    package func sealedRows() async throws(StoreFailure) -> [SealedRow] {
        try await perform("read sealed rows") { db in
            let keys = try SigningKeyRecord.fetchAll(db).filter { !$0.sealed.isEmpty }
            return try keys.map(SealedRow.signingKey) + TrustBundleRecord.fetchAll(db).map(SealedRow.trustBundle)
                + SealedCredential.fetchLive(db).map(SealedRow.providerCredential)
                + CheckpointKeyRecord.fetchAll(db).map(SealedRow.checkpointKey)
                + SignInRecord.fetchAll(db).filter { !$0.sealed.isEmpty }.map(SealedRow.signIn)
        }
    }

    package func reseal(
        _ row: SealedRow, as sealed: [UInt8], under masterKeyID: ExactString, _ event: AuditEvent
    ) async throws(StoreFailure) {
        let auditRow = AuditRow(event)
        try await write("seal a row anew") { db, audit in
            try db.cachedStatement(sql: row.update).run { binder in
                binder.blob(sealed)
                binder.text(masterKeyID)
                row.bindKey(&binder)
                binder.blob(row.sealed)
            }
            guard db.changesCount == 1 else {
                throw StoreFailure(.conflict, "seal a row anew", cause: "it is no longer what it was")
            }
            try audit.append(auditRow)
        }
    }
}

extension SealedRow {
    fileprivate var update: String {
        switch self {
        case .signingKey: "UPDATE signing_keys SET sealed = ?, master_key_id = ? WHERE key_id = ? AND sealed = ?"
        case .checkpointKey:
            "UPDATE checkpoint_keys SET sealed = ?, master_key_id = ? WHERE key_id = ? AND sealed = ?"
        case .signIn: "UPDATE sign_ins SET sealed = ?, master_key_id = ? WHERE session = ? AND sealed = ?"
        case .trustBundle:
            "UPDATE trust_bundles SET sealed = ?, master_key_id = ? WHERE trust_domain = ? AND sealed = ?"
        case .providerCredential:
            """
            UPDATE provider_credentials SET sealed = ?, master_key_id = ?
            WHERE provider = ? AND version = ? AND sealed = ?
            """
        }
    }

    fileprivate func bindKey(_ binder: inout Binder) {
        switch self {
        case .signingKey, .trustBundle, .checkpointKey, .signIn: binder.text(id)
        case .providerCredential(let credential):
            binder.text(credential.version.provider.text)
            binder.integer(Int64(credential.version.number))
        }
    }
}
