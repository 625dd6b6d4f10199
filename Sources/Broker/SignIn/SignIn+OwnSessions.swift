package import FoundationEssentials
package import JOSE

/// A session as the person sees it who signed in to it.
package struct OwnSession: Sendable {
    package let record: SessionRecord
    /// What the device said of itself.
    package let device: DeviceDescription
    /// When it last got a refresh token; nil where that is not known.
    package let lastUsed: Date?
}

// What people see and end of their own, on the pages.
extension SignIn {
    /// The sessions that this person signed in to and that have not ended, the one that began last first.
    /// - Parameter subject: as sessions have it, `name:sub`.
    package func ownSessions(
        of issuer: IssuerName, subject: ExactString
    ) async throws(StoreFailure) -> [OwnSession] {
        let records = try await store.signIns(of: issuer, subject: subject, providerSession: nil, at: clock.now)
            .filter { mint.revocations.kills($0) == nil }
        let signIns = try await store.signIns(ofSessions: records.map(\.id))
        return records.sorted { $0.start > $1.start }.map { record in
            let signIn = signIns[record.id]
            return OwnSession(
                record: record, device: DeviceDescription(surface: signIn?.program, name: signIn?.device),
                lastUsed: signIn?.rotated)
        }
    }

    /// Ends this person's own session of that id, or all that there are. A session of somebody else's is as unknown as one
    /// that there never was.
    /// - Parameter id: nil for all.
    /// - Returns: how many ended.
    package func endOwnSessions(
        _ id: ExactString?, of issuer: IssuerName, subject: ExactString, under trace: TraceID
    ) async throws(RevocationRefusal) -> Int {
        let sessions: [OwnSession]
        do {
            sessions = try await ownSessions(of: issuer, subject: subject)
        } catch {
            throw .store(error)
        }
        let chosen = sessions.map(\.record.id).filter { id == nil || $0 == id }.prefix(Revocations.maximumSessions)
        guard !chosen.isEmpty else { return 0 }
        var requests: [RevocationRequest] = []
        do {
            for session in chosen {
                requests.append(try RevocationRequest(.session(session), reason: "ended on the page of sessions"))
            }
        } catch {
            throw .unacceptable(error)
        }
        return try await revocations.revoke(requests, by: .person(subject: subject), trace: trace).revocations.count
    }
}
