package import JOSE
package import OpenSSL

// What the pages that people see do with whoever the provider proved them to be.
extension SignIn {
    /// To be asked before a proof is looked at: what is revoked from there on takes the session with it.
    package var highestRevocation: UInt64 { mint.revocations.highest }

    /// What the rules let a device have whom this subject approves; nil, on the record, where that is nothing.
    /// - Parameters:
    ///   - revision: `highestRevocation`, from before the proof was looked at.
    ///   - client: the address that the request counts for.
    /// - Throws: `.unavailable` where the refusal could not be recorded.
    package func approval(
        by subject: VerifiedSubject, since revision: UInt64, email: ExactString? = nil,
        providerToken: SecretBytes? = nil, providerSession: ExactString? = nil, from client: ExactString,
        under trace: TraceID
    ) async throws(SignInRefusal) -> Approval? {
        let proved = clock.uptime
        let request = ExchangeRequest(trace: trace, client: client, subject: .proof(SecretText("")))
        guard let grant = try await grant(to: subject, naming: nil, request, at: clock.now) else { return nil }
        return Approval(
            subject: subject, since: revision, grant: grant, email: email, providerToken: providerToken,
            providerSession: providerSession, from: client, proved: proved)
    }

    /// That somebody was shown a device and refused it: in the log, since nobody has proved who it was.
    package func noteDenial(of device: PendingDevice, from client: ExactString, under trace: TraceID) {
        log.noteDenial(of: device, from: client, under: trace)
    }

    /// That somebody came back from the provider, or was to go there, and was refused before anything was proved: in the
    /// log, for `explain`, and counted. Anybody can cause it, so it is not in the audit record.
    /// - Parameter words: of ours, or quoted from the provider.
    package func noteRefusal(_ reason: RefusalReason, _ words: String, from client: ExactString, under trace: TraceID) {
        log.metrics.refused(reason: reason)
        log.note(.signIn, reason, words, from: client, under: trace)
    }
}
