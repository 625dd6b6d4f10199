import FoundationEssentials
import JOSE

// Revocations as the administration API writes them.
extension AdministrationAPI.Revocation {
    init(_ revocation: Revocation, isDurable: Bool) {
        let isEndless = revocation.block.map { $0.until == nil } ?? false
        self.init(
            sequence: revocation.sequence, kind: AdministrationAPI.RevocationKind(revocation.target.kind),
            value: revocation.target.value, reason: revocation.reason.map { ExactString($0) },
            block: revocation.block.map { AdministrationAPI.RevocationOrder.Block(until: $0.until) },
            created: revocation.created, caller: revocation.caller.text,
            expires: isEndless ? nil : revocation.expires, isDurable: isDurable)
    }
}

extension AdministrationAPI.RevocationKind {
    init(_ kind: Revocation.Target.Kind) {
        self =
            switch kind {
            case .token: .token
            case .session: .session
            case .subject: .subject
            case .rule: .rule
            case .issuer: .issuer
            case .key: .key
            case .all: .all
            }
    }
}

extension AdministrationAPI.PageRequest {
    /// What a cursor that is a number says; nil for the first page.
    func number<Number: FixedWidthInteger>() throws(AdministrationFailure) -> Number? {
        guard let cursor else { return nil }
        guard let number = Number(cursor.string), number > 0, ExactString(String(number)) == cursor else {
            throw .invalid("the cursor is none of ours")
        }
        return number
    }
}
