// Refusals that the client itself has to word: the server could not be asked.
import type { ServerError } from '../protocol.gen';

export const unreachable: ServerError = {
    code: 'unreachable',
    vi: 'Không gọi được máy chủ. Trang vẫn giữ nguyên; hãy kiểm tra dây mạng hoặc Wi-Fi rồi thử lại.',
    en: 'The server cannot be reached. This page is kept; check the cable or Wi-Fi, then try again.',
};

export const timedOut: ServerError = {
    code: 'timed-out',
    vi: 'Máy chủ chưa trả lời. Việc này có thể chưa được thực hiện; hãy thử lại.',
    en: 'The server has not answered. This may not have been done; try again.',
};
