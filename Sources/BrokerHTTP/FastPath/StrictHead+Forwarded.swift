import HTTPTypes

extension StrictHead {
    /// What proxies say of whom they speak for.
    /// - Parameter bytes: the head.
    func forwarded(in bytes: UnsafeRawBufferPointer) -> HTTPFields {
        var fields = HTTPFields()
        for value in values(of: "x-forwarded-for", in: bytes) {
            fields.append(HTTPField(name: .forwardedFor, value: value))
        }
        return fields
    }
}
