### العربية

## كل الصفحات

skip-to-content = الانتقال إلى المحتوى
account-navigation = الحساب
account-sessions = الجلسات
account-password = كلمة المرور
account-devices = الأجهزة
account-console = لوحة الإدارة
account-signed-in-as = حسابك، تم تسجيل الدخول باسم { $username }
signed-in-as = تم تسجيل دخولك باسم { $username }.
sign-in = تسجيل الدخول
sign-out = تسجيل الخروج
unknown = غير معروف
first-page = الصفحة الأولى
next-page = الصفحة التالية
stale-form = انتهت صلاحية هذه الصفحة، لذلك لم يتغيّر شيء. حاول مرة أخرى. إذا استمر ظهور هذه الرسالة، فإن متصفحك يحظر ملفات تعريف الارتباط لهذا الموقع.

## تسجيل الدخول

login-continue-to = المتابعة إلى { $client }
login-connect-device = ربط الجهاز ذي الرمز { $code }
login-failed = اسم المستخدم أو كلمة المرور غير صحيحة.
login-no-account = ليس لديك حساب؟
username = اسم المستخدم
password = كلمة المرور
create-account = إنشاء حساب

## إنشاء حساب

register-submit = إنشاء الحساب
register-have-account = لديك حساب بالفعل؟
register-username-hint = الاسم الذي تسجّل الدخول به، مثل عنوان بريدك الإلكتروني.
register-closed = ينشئ المسؤول الحسابات. اطلب منه حسابًا.
register-username-taken = اسم المستخدم هذا محجوز. اختر اسمًا آخر.
register-username-invalid = استخدم من 1 إلى 255 حرفًا مرئيًا.
password-repeat = تكرار كلمة المرور
password-hint = 8 أحرف على الأقل. من السهل تذكّر بضع كلمات عشوائية.
password-length = استخدم من 8 إلى 256 حرفًا.
password-is-username = يجب أن تختلف كلمة المرور عن اسم المستخدم.
passwords-differ = كلمتا المرور غير متطابقتين.

## الموافقة

consent-title = هل تسمح لـ { $client }؟
consent-publisher = الناشر: { $owner }.
consent-publisher-unknown = ناشر هذا التطبيق غير معروف.
consent-policy = سياسة الخصوصية
consent-terms = شروط الخدمة
consent-permissions = يطلب { $client } الإذن بما يلي:
consent-details = التفاصيل:
consent-allow = سماح
consent-deny = رفض
consent-afterwards = أيًّا كان قرارك، ستعود إلى { $host }. يمكنك إلغاء الإذن في أي وقت من صفحة الجلسات.
form-post-title = المتابعة إلى { $client }
form-post-lead = أنت في طريق العودة إلى التطبيق. إذا لم يحدث شيء فاختر «متابعة».
form-post-continue = متابعة

## ما يُسمح للتطبيق به

scope-openid = معرفة هويتك
scope-profile = الاطلاع على اسمك وملفك الشخصي
scope-email = الاطلاع على عنوان بريدك الإلكتروني
scope-address = الاطلاع على عنوانك البريدي
scope-phone = الاطلاع على رقم هاتفك
scope-groups = الاطلاع على المجموعات التي تنتمي إليها
scope-offline-access = الاحتفاظ بهذا الإذن في غيابك
scope-none = تسجيل دخولك

## ربط جهاز

device-title = ربط جهاز
device-enter-code = أدخل الرمز الظاهر على جهازك.
device-code = الرمز
device-continue = متابعة
device-code-invalid = هذا الرمز غير صحيح أو انتهت صلاحيته.
device-compare-code = تأكّد من أن الجهاز يعرض هذا الرمز:
device-name = الجهاز
device-requested = وقت الطلب
device-warning = لا تتابع إلا إذا كان هذا الجهاز معك وبدأت هذه العملية بنفسك. الجهاز هو من اختار اسمه.
device-connected-title = تم ربط الجهاز
device-connected = يمكنك إغلاق هذه الصفحة والمتابعة على الجهاز.
device-denied-title = تم رفض الجهاز
device-denied = لن يحصل الجهاز على أي إذن. يمكنك إغلاق هذه الصفحة.
device-connect-another = ربط جهاز آخر

## الجلسات

sessions-lead = أين سجّلت الدخول، وما التطبيقات التي لها إذن بالوصول إلى حسابك. أنهِ ما لا تعرفه: يتوقف وصوله فورًا.
sessions-browsers = المتصفحات
sessions-sign-out-others = تسجيل الخروج من كل المتصفحات الأخرى
sessions-browser = المتصفح
sessions-this-browser = هذا المتصفح
sessions-signed-in = تسجيل الدخول
sessions-last-seen = آخر ظهور
sessions-expires = ينتهي
sessions-action = الإجراء
ip-address = عنوان IP
sessions-sign-out-browser = تسجيل الخروج من { $browser }، تسجيل الدخول { $since }
sessions-applications = التطبيقات والأجهزة
sessions-application = التطبيق
sessions-permissions = الأذونات
sessions-granted = تاريخ الإذن
sessions-last-used = آخر استخدام
sessions-status = الحالة
sessions-active = نشط
sessions-ended = منتهٍ
sessions-active-until = ينتهي { $when }
sessions-on-device = على { $device }
sessions-none = لا يملك أي تطبيق إذنًا بالوصول إلى حسابك.
sessions-revoke = إلغاء
sessions-revoke-all = إلغاء الكل
sessions-revoke-application = إلغاء إذن { $client }، الممنوح { $since }
sessions-done-one = انتهت الجلسة، وسيُرفض وصولها من الآن.
sessions-done-others = تم تسجيل الخروج من كل المتصفحات الأخرى.
sessions-done-all = لم يعد لأي تطبيق أو جهاز إذن بالوصول.

## تغيير كلمة المرور

password-lead = يؤدي تغيير كلمة المرور إلى تسجيل الخروج من كل متصفحاتك الأخرى. تحتفظ التطبيقات بأذوناتها.
password-current = كلمة المرور الحالية
password-new = كلمة المرور الجديدة
password-new-repeat = تكرار كلمة المرور الجديدة
password-submit = تغيير كلمة المرور
password-changed = تم تغيير كلمة المرور، وتم تسجيل الخروج من كل المتصفحات الأخرى.
password-managed-elsewhere = تُدار كلمة مرورك في مكان آخر. غيّرها حيث حصلت على حسابك.
password-current-missing = أدخل كلمة المرور الحالية.
password-current-wrong = هذه ليست كلمة المرور الحالية.
password-not-new = يجب أن تختلف كلمة المرور الجديدة عن الحالية.

## تسجيل الخروج

logout-title = هل تريد تسجيل الخروج؟
logout-lead = سيتم أيضًا تسجيل خروجك من التطبيقات التي سجّلت الدخول إليها من هذا المتصفح.
logout-done-title = تم تسجيل الخروج
logout-done = تم تسجيل خروجك من هذا المتصفح.
logout-sign-in-again = تسجيل الدخول مرة أخرى

## الأخطاء

error-title = حدث خطأ ما
error-forbidden-title = الوصول مرفوض
error-not-found-title = غير موجود
error-unavailable-title = غير متاح مؤقتًا
error-too-many-attempts-title = محاولات كثيرة جدًا
error-go-to-account = الانتقال إلى حسابك
home-lead = يسجّل هذا الخادم دخول الأشخاص إلى التطبيقات ويُصدر رموز الوصول.
home-issuer = المُصدِر:
home-metadata = البيانات الوصفية للتطبيقات
error-request-expired = انتهت صلاحية طلب تسجيل الدخول هذا. عُد إلى التطبيق وحاول مرة أخرى.
error-undecided = اختر أحد الخيارين.
error-internal = حدث خطأ في الخادم. حاول مرة أخرى بعد قليل.
error-too-many-attempts = محاولات كثيرة جدًا. انتظر بضع دقائق ثم حاول مرة أخرى.
error-too-many-attempts-seconds = { $count ->
    [zero] محاولات كثيرة جدًا. حاول مرة أخرى الآن.
    [one] محاولات كثيرة جدًا. انتظر ثانية واحدة ثم حاول مرة أخرى.
    [two] محاولات كثيرة جدًا. انتظر ثانيتين ثم حاول مرة أخرى.
    [few] محاولات كثيرة جدًا. انتظر { $count } ثوانٍ ثم حاول مرة أخرى.
    [many] محاولات كثيرة جدًا. انتظر { $count } ثانية ثم حاول مرة أخرى.
   *[other] محاولات كثيرة جدًا. انتظر { $count } ثانية ثم حاول مرة أخرى.
}
error-too-many-attempts-minutes = { $count ->
    [zero] محاولات كثيرة جدًا. حاول مرة أخرى الآن.
    [one] محاولات كثيرة جدًا. انتظر دقيقة واحدة ثم حاول مرة أخرى.
    [two] محاولات كثيرة جدًا. انتظر دقيقتين ثم حاول مرة أخرى.
    [few] محاولات كثيرة جدًا. انتظر { $count } دقائق ثم حاول مرة أخرى.
    [many] محاولات كثيرة جدًا. انتظر { $count } دقيقة ثم حاول مرة أخرى.
   *[other] محاولات كثيرة جدًا. انتظر { $count } دقيقة ثم حاول مرة أخرى.
}
error-busy = عدد كبير من الأشخاص يسجّلون الدخول الآن. حاول مرة أخرى بعد ثانية.
error-form-malformed = تعذّرت قراءة النموذج. حاول مرة أخرى.
error-address-malformed = هذا العنوان غير صالح.
error-application = أرسل التطبيق طلبًا لا يمكن استخدامه. عُد إليه وحاول مرة أخرى. إذا استمر الخطأ، فتواصل مع ناشره.
error-request-id = معرّف الطلب، لفريق الدعم:
error-return-to-host = العودة إلى { $host }
error-password-changed = تم تغيير كلمة مرورك أثناء تسجيل الدخول. سجّل الدخول مرة أخرى.
error-users-unavailable = لا يمكن التحقق من كلمات المرور في الوقت الحالي. حاول مرة أخرى بعد بضع دقائق.
error-username-conflict = كلمة مرورك صحيحة، لكن حسابًا آخر يستخدم اسم المستخدم هذا بالفعل. اطلب من المسؤول إعادة تسمية أحد الحسابين.
error-administrators-only = لوحة الإدارة مخصّصة للمسؤولين، وحسابك ليس حساب مسؤول.
error-no-such-page = هذه الصفحة غير موجودة.
error-no-such-session = هذه الجلسة غير موجودة.

## الأوقات

time-now = الآن
time-minutes-ago = { $count ->
    [zero] الآن
    [one] قبل دقيقة واحدة
    [two] قبل دقيقتين
    [few] قبل { $count } دقائق
    [many] قبل { $count } دقيقة
   *[other] قبل { $count } دقيقة
}
time-hours-ago = { $count ->
    [zero] الآن
    [one] قبل ساعة واحدة
    [two] قبل ساعتين
    [few] قبل { $count } ساعات
    [many] قبل { $count } ساعة
   *[other] قبل { $count } ساعة
}
time-days-ago = { $count ->
    [zero] اليوم
    [one] قبل يوم واحد
    [two] قبل يومين
    [few] قبل { $count } أيام
    [many] قبل { $count } يومًا
   *[other] قبل { $count } يوم
}
time-in-minutes = { $count ->
    [zero] الآن
    [one] خلال دقيقة واحدة
    [two] خلال دقيقتين
    [few] خلال { $count } دقائق
    [many] خلال { $count } دقيقة
   *[other] خلال { $count } دقيقة
}
time-in-hours = { $count ->
    [zero] الآن
    [one] خلال ساعة واحدة
    [two] خلال ساعتين
    [few] خلال { $count } ساعات
    [many] خلال { $count } ساعة
   *[other] خلال { $count } ساعة
}
time-in-days = { $count ->
    [zero] اليوم
    [one] خلال يوم واحد
    [two] خلال يومين
    [few] خلال { $count } أيام
    [many] خلال { $count } يومًا
   *[other] خلال { $count } يوم
}
time-date = { $day } { $month ->
    [1] يناير
    [2] فبراير
    [3] مارس
    [4] أبريل
    [5] مايو
    [6] يونيو
    [7] يوليو
    [8] أغسطس
    [9] سبتمبر
    [10] أكتوبر
    [11] نوفمبر
   *[12] ديسمبر
} { $year }، { $time } UTC

## المتصفحات والبرامج

sender-browser = { $browser } على { $system }
sender-unknown = برنامج غير معروف

## لوحة الإدارة

console-navigation = لوحة الإدارة
console-overview = نظرة عامة
console-clients = العملاء
console-users = المستخدمون
console-keys = المفاتيح
console-revocations = الإلغاءات
console-resource-servers = خوادم الموارد
console-routes = المسارات
console-edges = الحواف
console-audit-log = سجل التدقيق
console-search = بحث
console-show-all = عرض الكل
console-pages = الصفحات
console-shown-once = انسخه الآن. يظهر مرة واحدة فقط: لا يخزّن الخادم إلا تجزئته.
