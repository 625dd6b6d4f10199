package import JOSE

extension Revocations: KeyRevoking {
    package func revokeKey(_ keyID: ExactString, reason: String?, by caller: Caller, under trace: TraceID) async -> Bool
    {
        guard let request = try? RevocationRequest(.key(keyID), reason: reason),
            let outcome = try? await revoke(request, by: caller, trace: trace)
        else { return false }
        return outcome.isDurable
    }
}
