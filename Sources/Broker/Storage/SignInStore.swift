package import FoundationEssentials
package import JOSE

/// Where sign-ins become durable: sessions that have refresh tokens. Of these only digests are kept, of all that there
/// were, so that one that is used again is known.
package protocol SignInStore: Sendable {
    /// Makes the session, its sign-in, its first refresh token and its audit record durable, all or nothing.
    /// - Parameter digest: of the refresh token.
    /// - Returns: `.recorded`, or `.revoked`.
    func record(
        _ session: SessionRecord, _ event: AuditEvent, opening signIn: SignInRecord, token digest: [UInt8]
    ) async throws(StoreFailure) -> UseOutcome

    /// What a refresh token with that digest belongs to; nil where there never was one.
    func signIn(ofToken digest: [UInt8]) async throws(StoreFailure) -> PresentedRefreshToken?

    /// Puts the next refresh token in the place of the one before, with the audit record of the gateway token that goes
    /// out with it, all or nothing.
    /// - Parameters:
    ///   - next: of the generation that follows the one that is stored.
    ///   - digest: of the next refresh token.
    /// - Returns: `.recorded`, or `.revoked`.
    /// - Throws: `.conflict` where another generation is stored.
    func record(
        _ event: AuditEvent, rotating next: SignInRecord, of session: SessionRecord, token digest: [UInt8]
    ) async throws(StoreFailure) -> UseOutcome

    /// Puts what the sign-in has sealed in the place of what is stored, and nothing else.
    /// - Throws: `.conflict` where another generation is stored.
    func keep(_ signIn: SignInRecord) async throws(StoreFailure)

    /// The sessions that a logout at the provider is about (OpenID Connect Back-Channel Logout §2.4), of those that have
    /// not ended: of that subject and of that session of the provider's, as far as they are named. With a subject also those
    /// of which the provider's session is not known; where neither is named, none.
    func signIns(
        of issuer: IssuerName, subject: ExactString?, providerSession: ExactString?, at now: Date
    ) async throws(StoreFailure) -> [SessionRecord]

    /// The sign-ins of those of the sessions that have one and that are not forgotten, by their ids.
    func signIns(ofSessions ids: [ExactString]) async throws(StoreFailure) -> [ExactString: SignInRecord]
}

/// What a session has that somebody signed in to.
package struct SignInRecord: Sendable, Hashable {
    /// Its id.
    package let session: ExactString
    /// Of the refresh token that is good: 0 for the first.
    package let generation: Int
    /// When that one was given out.
    package let rotated: Date
    /// See `SignInSecrets`.
    package let sealed: [UInt8]
    package let masterKeyID: ExactString
    package let email: ExactString?
    /// `sid` at the provider.
    package let providerSession: ExactString?
    /// What the device called itself, and the program on it: `DeviceDescription`. Nothing of it is proved.
    package let device: ExactString?
    package let program: ExactString?
    /// The session's.
    package let end: Date

    package init(
        session: ExactString, generation: Int, rotated: Date, sealed: [UInt8], masterKeyID: ExactString,
        email: ExactString? = nil, providerSession: ExactString? = nil, device: ExactString? = nil,
        program: ExactString? = nil, end: Date
    ) {
        self.session = session
        self.generation = generation
        self.rotated = rotated
        self.sealed = sealed
        self.masterKeyID = masterKeyID
        self.email = email
        self.providerSession = providerSession
        self.device = device
        self.program = program
        self.end = end
    }

    /// The same with the next refresh token.
    func next(at now: Date, sealed: [UInt8], under masterKeyID: ExactString) -> SignInRecord {
        SignInRecord(
            session: session, generation: generation + 1, rotated: now, sealed: sealed, masterKeyID: masterKeyID,
            email: email, providerSession: providerSession, device: device, program: program, end: end)
    }

    /// The same sealed anew.
    package func resealed(as sealed: [UInt8], under masterKeyID: ExactString) -> SignInRecord {
        SignInRecord(
            session: session, generation: generation, rotated: rotated, sealed: sealed, masterKeyID: masterKeyID,
            email: email, providerSession: providerSession, device: device, program: program, end: end)
    }
}

/// A refresh token that somebody shows, with what it belongs to.
package struct PresentedRefreshToken: Sendable, Hashable {
    package let signIn: SignInRecord
    package let session: SessionRecord
    /// Its own.
    package let generation: Int

    package init(signIn: SignInRecord, session: SessionRecord, generation: Int) {
        self.signIn = signIn
        self.session = session
        self.generation = generation
    }
}
