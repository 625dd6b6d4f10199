import FoundationEssentials
import JOSE

// Revocations as the administration API writes them.
extension AdministrationAPI.Revocation {
    init(_ revocation: Revocation, isDurable: Bool) {
        self.init(
            sequence: revocation.sequence, kind: revocation.target.kind, value: revocation.target.value,
            reason: revocation.reason.map { ExactString($0) }, block: revocation.block,
            created: revocation.created, caller: revocation.caller,
            expires: revocation.isBlockedWithoutEnd ? nil : revocation.expires, isDurable: isDurable)
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
