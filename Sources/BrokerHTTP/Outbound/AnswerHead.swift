import NIOHTTP1

/// What follows from the head of an answer.
enum AnswerHead {
    /// A document, whose body is to be read.
    case document(maximumAge: Duration?)
    /// To the value of the `Location` field.
    case redirect(String)

    /// - Parameter url: what was asked for.
    init(status: Int, headers: HTTPHeaders, from url: OutboundURL) throws(FetchFailure) {
        switch status {
        case 200:
            if let announced = Self.onlyValue(of: "Content-Length", in: headers).flatMap(Int.init),
                announced > GuardedFetcher.maximumBodyBytes
            {
                throw .bodyTooLarge(url)
            }
            self = .document(maximumAge: CacheControl.maximumAge(in: headers))
        case 301, 302, 303, 307, 308:
            guard let location = Self.onlyValue(of: "Location", in: headers) else {
                throw .redirect(from: url, to: nil)
            }
            self = .redirect(location)
        default: throw .status(url, status)
        }
    }

    private static func onlyValue(of name: String, in headers: HTTPHeaders) -> String? {
        let values = headers[name]
        return values.count == 1 ? values[0] : nil
    }
}
