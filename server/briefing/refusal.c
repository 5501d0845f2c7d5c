/* One line of the table is one way in which the product says no. A sentence says what happened, what still works and what to
 * do; it blames nobody and names no part of the program. */
#include "briefing/refusal.h"

#include <stddef.h>
#include <string.h>

static const struct refusal table[] = {
    /* Rights in a briefing. */
    {"not-chair",
     "Chỉ chủ trì hoặc thư ký được làm việc này. Đồng chí vẫn nghe, xem bình thường; hãy giơ tay hoặc nhờ thư ký.",
     "Only the chair or the secretary may do this. You still see and hear; raise your hand or ask the secretary."},
    {"not-staff", "Chỉ chủ trì, thư ký hoặc kỹ thuật được làm việc này. Hãy nhờ kỹ thuật hỗ trợ.",
     "Only the chair, the secretary or a technician may do this. Ask the technician for help."},
    {"not-holder",
     "Chỉ điểm cầu đang có quyền phát biểu, chủ trì hoặc thư ký được trình chiếu màn hình. Hãy giơ tay xin phát biểu.",
     "Only the floor holder, the chair or the secretary may share a screen. Raise your hand to ask for the floor."},
    {"observer", "Dự thính chỉ nghe và xem. Nếu cần phát biểu, hãy nhờ thư ký cấp đường dẫn đại biểu.",
     "An observer sees and hears only. To speak, ask the secretary for a delegate's link."},
    {"microphones-locked", "Chủ trì đang khóa micrô. Đồng chí vẫn nghe, xem bình thường; hãy giơ tay để được mời phát biểu.",
     "The chair has locked the microphones. You still see and hear; raise your hand to be given the floor."},
    {"not-invited", "Đơn vị này không có trong danh sách mời của phiên họp. Hãy liên hệ thư ký để được bổ sung.",
     "This unit is not invited to the briefing. Ask the secretary to add it."},
    {"removed", "Chủ trì đã mời điểm cầu này ra khỏi phiên họp. Muốn vào lại, hãy xin thư ký một đường dẫn mới.",
     "The chair has removed this endpoint from the briefing. To come back, ask the secretary for a new link."},
    {"chair-stays", "Không thể mời chủ trì ra khỏi phiên họp. Phiên họp vẫn tiếp tục.",
     "The chair can't be removed from the briefing. The briefing goes on."},
    {"foreign-unit", "Đường dẫn hoặc tài khoản này thuộc đơn vị khác. Hãy dùng đường dẫn của đơn vị mình.",
     "This link or account belongs to another unit. Use your own unit's link."},
    {"foreign-briefing", "Đường dẫn này dành cho phiên họp khác. Hãy mở đúng đường dẫn trong giấy mời.",
     "This link is for another briefing. Open the link in your invitation."},
    {"foreign-endpoint", "Điểm cầu này do người khác mở. Hãy vào lại phiên họp từ đường dẫn của mình.",
     "This endpoint belongs to somebody else. Join the briefing again by your own link."},

    /* State of a briefing. */
    {"unknown-briefing", "Không tìm thấy phiên họp. Hãy kiểm tra đường dẫn hoặc chọn lại trong danh sách phiên họp.",
     "There is no such briefing. Check the link or choose it from the list of briefings."},
    {"not-open", "Phiên họp chưa khai mạc. Đồng chí có thể thử micrô, camera và chờ chủ trì khai mạc.",
     "The briefing is not open yet. You can test microphone and camera and wait for the opening."},
    {"already-open", "Phiên họp đã khai mạc. Không cần làm gì thêm.",
     "The briefing is open already. Nothing needs to be done."},
    {"already-closed", "Phiên họp đã kết thúc. Có thể xem lại trong kho lưu trữ khi bản ghi hình xong.",
     "The briefing is closed. It can be watched in the archive when its recording is ready."},
    {"already-scheduled", "Phiên họp này đã có trong lịch. Hãy mở phiên họp có sẵn.",
     "This briefing is scheduled already. Open the one that exists."},
    {"unknown-endpoint", "Điểm cầu này không còn trong phiên họp. Danh sách vừa được cập nhật, hãy chọn lại.",
     "This endpoint is not in the briefing any more. The list is up to date now; choose again."},
    {"not-connected", "Điểm cầu này đang mất kết nối. Có thể mời lại khi điểm cầu vào lại, hoặc mời đơn vị khác.",
     "This endpoint is not connected now. Give it the floor when it is back, or choose another."},
    {"no-hand", "Chưa vào phiên họp nên chưa giơ tay được. Hãy vào phiên họp trước.",
     "A hand can be raised only inside the briefing. Join first."},
    {"briefing-full", "Phiên họp đã đủ số điểm cầu. Các điểm cầu đang họp không bị ảnh hưởng; hãy báo kỹ thuật.",
     "The briefing has as many endpoints as it can take. Those inside are not affected; tell the technician."},
    {"unit-full",
     "Đơn vị này đã mở đủ số điểm cầu cho phiên họp. Các điểm cầu đang họp không bị ảnh hưởng; hãy dùng lại máy đã vào họp "
     "hoặc báo kỹ thuật.",
     "This unit has opened as many endpoints as it may. Those inside are not affected; use a device that was in before, or "
     "tell the technician."},
    {"not-joined", "Chưa vào phiên họp. Hãy bấm vào họp rồi thử lại.",
     "You are not in the briefing. Join it and try again."},
    {"taken-over", "Điểm cầu này vừa được mở ở nơi khác. Muốn dùng máy này, hãy vào lại phiên họp.",
     "This endpoint has just been opened elsewhere. To use this device, join again."},

    /* Signing in. */
    {"no-session", "Chưa đăng nhập hoặc phiên đăng nhập đã hết hạn. Hãy đăng nhập lại hoặc mở lại đường dẫn trong giấy mời.",
     "You are not signed in, or the session has ended. Sign in again or open the link in your invitation."},
    {"wrong-password", "Tên đăng nhập hoặc mật khẩu không đúng. Hãy thử lại; sau 5 lần sai, tài khoản tạm khóa 15 phút.",
     "The name or the password is wrong. Try again; after five failures the account is locked for 15 minutes."},
    {"locked", "Tài khoản tạm khóa vì nhập sai mật khẩu 5 lần. Hãy thử lại sau 15 phút hoặc nhờ quản trị mở khóa.",
     "The account is locked after five wrong passwords. Try again in 15 minutes or ask the administrator."},
    {"bad-link", "Đường dẫn không hợp lệ, có thể bị sao chép thiếu. Hãy mở lại nguyên văn đường dẫn trong giấy mời.",
     "The link is not valid; it may have been copied in part. Open it whole from the invitation."},
    {"expired-link", "Đường dẫn đã hết hạn. Hãy xin thư ký một đường dẫn mới.",
     "The link has expired. Ask the secretary for a new one."},
    {"used-link", "Đường dẫn này chỉ dùng được một lần và đã được dùng. Hãy đăng nhập bằng tài khoản đã tạo.",
     "This link works once and has been used. Sign in with the account it made."},
    {"weak-password", "Mật khẩu quá ngắn. Hãy dùng ít nhất 14 ký tự, ví dụ vài từ dễ nhớ ghép lại.",
     "The password is too short. Use at least 14 characters, for instance a few words."},
    {"login-taken", "Tên đăng nhập này đã có. Hãy chọn tên khác.", "This login exists already. Choose another."},
    {"unknown-account", "Không có tài khoản này. Hãy kiểm tra tên đăng nhập.", "There is no such account. Check the login."},
    {"unknown-unit", "Không có đơn vị này trong danh mục. Hãy chọn đơn vị trong danh sách.",
     "There is no such unit. Choose one from the list."},
    {"not-allowed", "Tài khoản này không có quyền làm việc này. Hãy nhờ quản trị hoặc thư ký.",
     "This account has no right to do this. Ask the administrator or the secretary."},
    {"bad-origin", "Yêu cầu đến từ trang khác nên bị từ chối. Hãy mở trang họp trực tiếp rồi thử lại.",
     "The request came from another site and was refused. Open the briefing's own page and try again."},
    {"only-here", "Việc này chỉ làm được trên chính máy chủ. Hãy dùng giaobanctl tại máy chủ.",
     "This can be done on the server itself only. Use giaobanctl there."},

    /* Requests. */
    {"bad-json", "Dữ liệu gửi lên không đúng định dạng và bị bỏ qua; phiên họp không bị ảnh hưởng. Hãy tải lại trang.",
     "What was sent is not valid JSON and was ignored; the briefing is not affected. Reload the page."},
    {"too-big", "Dữ liệu gửi lên quá lớn và bị bỏ qua; phiên họp không bị ảnh hưởng. Hãy tải lại trang.",
     "What was sent is too big and was ignored; the briefing is not affected. Reload the page."},
    {"too-fast", "Thao tác quá nhanh nên bị bỏ qua. Hãy chờ vài giây rồi thử lại.",
     "Too many requests in a short time; this one was ignored. Wait a few seconds and try again."},
    {"too-many-connections", "Quá nhiều kết nối từ một địa chỉ. Hãy đóng bớt trang rồi thử lại, hoặc báo kỹ thuật.",
     "There are too many connections from one address. Close some pages and try again, or tell the technician."},
    {"unknown-method", "Máy chủ không có chức năng này. Trang có thể đã cũ, hãy tải lại trang.",
     "The server does not know this request. The page may be old: reload it."},
    {"bad-params", "Yêu cầu thiếu hoặc sai thông tin nên bị bỏ qua. Hãy kiểm tra lại hoặc tải lại trang.",
     "The request lacks something or has a wrong value and was ignored. Check it or reload the page."},
    {"hello-first", "Kết nối chưa hoàn tất bước chào đầu tiên. Hãy tải lại trang.",
     "The connection has not introduced itself yet. Reload the page."},
    {"not-found", "Không tìm thấy nội dung này. Hãy quay lại danh sách và chọn lại.",
     "There is nothing here. Go back to the list and choose again."},
    {"bad-range", "Đoạn tệp yêu cầu không tồn tại. Hãy tải lại tệp từ đầu.",
     "The file has no such part. Load it again from its beginning."},
    {"bad-subprotocol", "Phiên bản giao thức không khớp. Hãy tải lại trang.",
     "The protocol version does not match. Reload the page."},

    /* Media. */
    {"bad-sdp", "Trình duyệt gửi mô tả âm thanh, hình ảnh không hợp lệ. Đồng chí vẫn ở trong phiên họp; hãy tải lại trang.",
     "The browser's media description is not valid. You are still in the briefing; reload the page."},
    {"no-fingerprint", "Kết nối âm thanh, hình ảnh không mã hóa nên bị từ chối. Hãy dùng trình duyệt bản mới.",
     "The media connection is not encrypted and was refused. Use a current browser."},
    {"no-ice", "Trình duyệt không gửi thông tin kết nối mạng (ICE). Hãy tải lại trang hoặc dùng trình duyệt khác.",
     "The browser has sent no connection data (ICE). Reload the page or use another browser."},
    {"no-codec",
     "Trình duyệt không hỗ trợ định dạng âm thanh, hình ảnh cần thiết. Hãy dùng Chrome, Edge hoặc Firefox bản mới.",
     "The browser offers none of the needed codecs. Use a current Chrome, Edge or Firefox."},
    {"old-incarnation", "Yêu cầu kết nối này đã cũ vì máy vừa kết nối lại. Không cần làm gì thêm.",
     "This offer is out of date: the device has connected again since. Nothing needs to be done."},
    {"no-worker", "Máy chủ hình ảnh đang khởi động lại. Hệ thống tự kết nối lại sau vài giây.",
     "The media server is starting again. You will be connected by yourself in a few seconds."},
    {"overloaded", "Máy chủ đang đầy tải nên chưa nhận thêm hình ảnh; âm thanh vẫn hoạt động. Hãy báo kỹ thuật.",
     "The server is at its limit and takes no more video; sound goes on. Tell the technician."},
    {"quarantined", "Thiết bị này nhiều lần gây lỗi nên tạm bị cách ly. Hãy dùng máy hoặc trình duyệt khác.",
     "This device has caused faults repeatedly and is kept out. Use another device or browser."},

    /* Checks of a room. */
    {"check-offline",
     "Điểm cầu này chưa kết nối âm thanh, hình ảnh nên chưa kiểm tra được. Hãy thử lại khi điểm cầu đã vào phòng họp.",
     "This endpoint has no media connection yet, so it can't be checked. Try again when it is in the room."},
    {"check-running", "Điểm cầu này đang được kiểm tra. Kết quả có sau vài giây.",
     "This endpoint is being checked already. Its result is there in a few seconds."},
    {"check-failed", "Lần kiểm tra này bị gián đoạn; phiên họp và điểm cầu không bị ảnh hưởng. Hãy kiểm tra lại.",
     "This check was interrupted; the briefing and the endpoint are not affected. Check again."},

    /* Recording and archive. */
    {"recorder-unhealthy",
     "Bộ ghi hình chưa sẵn sàng. Phiên họp vẫn diễn ra bình thường nhưng chưa được ghi; hãy báo kỹ thuật.",
     "The recorder is not healthy. The briefing goes on, but is not recorded; tell the technician."},
    {"disk-full", "Ổ đĩa máy chủ đã đầy nên không ghi thêm được. Phiên họp vẫn tiếp tục; hãy báo quản trị giải phóng ổ đĩa.",
     "The server's disk is full and nothing more can be recorded. The briefing goes on; have the administrator free space."},
    {"no-recording", "Phiên họp này không có bản ghi hình.", "This briefing has no recording."},
    {"not-ready", "Bản ghi hình chưa dựng xong. Hãy quay lại sau ít phút.",
     "The recording is not ready yet. Come back in a few minutes."},
    {"still-open", "Phiên họp còn đang diễn ra. Hãy dựng bản ghi hình sau khi kết thúc.",
     "The briefing is still open. Compose its recording after it is closed."},

    /* The server itself. */
    {"not-saved", "Chưa lưu được vào sổ phiên họp nên lệnh chưa có hiệu lực. Hãy thử lại; nếu vẫn lỗi, báo kỹ thuật.",
     "It could not be written to the briefing's log, so it did not take effect. Try again; if it fails again, tell the "
     "technician."},
    {"upgrading", "Máy chủ đang được nâng cấp. Hãy chờ đến khi xong.", "An upgrade is under way. Wait until it is done."},
    {"busy", "Máy chủ đang bận. Hãy thử lại sau vài giây.", "The server is busy. Try again in a few seconds."},
    {"shutting-down", "Máy chủ đang khởi động lại. Trang sẽ tự kết nối lại sau vài giây.",
     "The server is restarting. The page will connect again by itself in a few seconds."},
    {"internal",
     "Có lỗi trong máy chủ; phần còn lại của phiên họp vẫn hoạt động. Hãy thử lại, nếu vẫn lỗi thì báo kỹ thuật.",
     "Something went wrong in the server; the rest of the briefing goes on. Try again, or tell the technician."},
};

const struct refusal *refusal_find(const char *code)
{
    const size_t n = sizeof(table) / sizeof(table[0]);
    for (size_t i = 0; code && i < n; i++) {
        if (!strcmp(table[i].code, code))
            return &table[i];
    }
    return &table[n - 1];
}

const struct refusal *refusal_at(unsigned index)
{
    return index < sizeof(table) / sizeof(table[0]) ? &table[index] : NULL;
}
