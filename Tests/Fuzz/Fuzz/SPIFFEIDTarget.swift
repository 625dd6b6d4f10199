import JOSE
import SPIFFE

/// SPIFFE IDs: what is accepted is what was given, in its parts, and has no character that could mean anything else.
enum SPIFFEIDTarget: FuzzTarget {
    static func run(_ input: [UInt8]) {
        guard let id = try? SPIFFEID(parsing: input) else { return }
        precondition(Array(id.text.utf8) == input, "another spelling")
        precondition(Array("spiffe://\(id.trustDomain)\(id.path)".utf8) == input, "parts that are not the whole")
        precondition(input.count <= SPIFFEID.maximumLength && input.allSatisfy { (0x2D...0x7A).contains($0) })
        precondition((try? TrustDomain(parsing: id.trustDomain.name.string)) == id.trustDomain)
        precondition(!id.path.utf8.contains(UInt8(ascii: ":")) && !"\(id.path)/".contains("/../"))
        precondition(id.isWorkload == !id.path.isEmpty)
    }
}
