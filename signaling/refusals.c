/* What signaling itself refuses. The briefing core's refusals are in briefing/refusal.c. */
#include "signaling/internal.h"

#include <string.h>

static const struct refusal refusals[] = {
    {"no-session", "Bạn chưa đăng nhập hoặc phiên đăng nhập đã hết hạn. Hãy đăng nhập lại.",
     "You are not signed in, or your session has ended. Please sign in again."},
    {"wrong-password", "Tên đăng nhập hoặc mật khẩu không đúng. Sai năm lần thì tài khoản bị khóa 15 phút.",
     "The login or the password is wrong. After five wrong passwords the account is locked for 15 minutes."},
    {"locked", "Tài khoản tạm khóa 15 phút do nhập sai mật khẩu năm lần. Quản trị viên có thể mở khóa.",
     "The account is locked for 15 minutes after five wrong passwords. An administrator can unlock it."},
    {"bad-link", "Đường dẫn không hợp lệ. Hãy kiểm tra lại hoặc xin thư ký đường dẫn mới.",
     "This link is not valid. Check it, or ask the secretary for a new one."},
    {"expired-link", "Đường dẫn đã hết hạn. Hãy xin thư ký đường dẫn mới.",
     "This link has expired. Ask the secretary for a new one."},
    {"used-link", "Đường dẫn này đã được dùng. Hãy đăng nhập bằng tài khoản đã tạo.",
     "This link has been used. Sign in with the account that it made."},
    {"weak-password", "Mật khẩu phải có ít nhất 14 ký tự và không chứa tên đăng nhập.",
     "A password needs at least 14 characters and must not contain the login."},
    {"login-taken", "Tên đăng nhập này đã có.", "This login exists already."},
    {"unknown-unit", "Không có đơn vị này.", "There is no such unit."},
    {"unknown-account", "Không có tài khoản này.", "There is no such account."},
    {"not-allowed", "Tài khoản của bạn không có quyền làm việc này.", "Your account has no right to do this."},
    {"foreign-origin", "Yêu cầu đến từ một trang khác nên bị từ chối.",
     "The request comes from another site and was refused."},
    {"only-here", "Chỉ dùng được trên chính máy chủ.", "Only available on the server itself."},
    {"bad-request", "Yêu cầu không đúng mẫu.", "The request does not have the expected form."},
    {"not-json", "Nội dung không phải JSON hợp lệ.", "The content is not valid JSON."},
    {"too-large", "Nội dung quá lớn.", "The content is too large."},
    {"too-many", "Quá nhiều yêu cầu trong thời gian ngắn. Hãy thử lại sau giây lát.",
     "Too many requests in a short time. Please try again in a moment."},
    {"busy", "Máy chủ đang bận. Hãy thử lại sau giây lát.", "The server is busy. Please try again in a moment."},
    {"not-found", "Không tìm thấy.", "Not found."},
    {"bad-method", "Không hỗ trợ thao tác này ở đây.", "This method is not supported here."},
    {"unknown-method", "Không có yêu cầu này.", "There is no such request."},
    {"hello-first", "Yêu cầu đầu tiên phải là hello.", "The first request must be hello."},
    {"bad-range", "Tệp không có đoạn này.", "The file has no such range."},
    {"internal", "Máy chủ gặp lỗi. Cuộc họp đang diễn ra không bị ảnh hưởng; hãy thử lại.",
     "The server met an error. Meetings in progress go on; please try again."},
};

const struct refusal *signaling_refusal(const char *code)
{
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++)
        if (strcmp(refusals[i].code, code) == 0)
            return &refusals[i];
    return refusal_find(code);
}
